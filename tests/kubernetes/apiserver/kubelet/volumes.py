"""Volumes as folders: Secrets, ConfigMaps, the downward API, what is projected of them, and empty or claimed ones."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from tests.kubernetes.apiserver.kubelet.environment import Missing, content, field_value
from tests.kubernetes.apiserver.objects import Object, dig
from tests.kubernetes.apiserver.store import Store


class Volumes:
    """Those of one pod.

    Args:
        store: Where Secrets and ConfigMaps are.
        pod: The pod, with its address.
        folder: Below which its volumes lie.
        claims: Below which claimed volumes lie, which outlive pods.
        token: What the pod's account shows the API server, with its certificate: files by name.
    """

    def __init__(self, store: Store, pod: Object, folder: Path, claims: Path, token: dict[str, bytes]) -> None:
        self._store = store
        self._pod = pod
        self._folder = folder
        self._claims = claims
        self._token = token

    def make(self) -> None:
        """Makes all.

        Raises:
            Missing: A Secret or ConfigMap is not there yet.
        """
        self.token_folder.mkdir(parents=True, exist_ok=True)
        _write(self.token_folder, self._token)
        for volume in dig(self._pod, "spec", "volumes", default=[]):
            folder = self.folder(volume["name"])
            folder.mkdir(parents=True, exist_ok=True)
            if (files := self._files(volume)) is not None:
                _write(folder, files)

    def refresh(self) -> None:
        """Writes anew what has changed since; what is gone stays as it was."""
        with suppress(Missing):
            self.make()

    @property
    def token_folder(self) -> Path:
        """What is mounted for the pod's account."""
        return self._folder / "token"

    def folder(self, name: str) -> Path:
        """Of one volume."""
        for volume in dig(self._pod, "spec", "volumes", default=[]):
            if volume["name"] == name and (claim := dig(volume, "persistentVolumeClaim", "claimName")):
                return self._claims / str(self._pod["metadata"]["namespace"]) / str(claim)
        return self._folder / "volumes" / name

    def remove(self) -> None:
        """Takes away what belongs to the pod alone."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _files(self, volume: Object) -> dict[str, bytes] | None:
        """What is in it; None: whatever the pod writes there."""
        if "projected" in volume:
            files: dict[str, bytes] = {}
            for source in volume["projected"].get("sources") or []:
                files |= self._source(source) or {}
            return files
        return self._source(volume)

    def _source(self, source: Object) -> dict[str, bytes] | None:
        if secret := source.get("secret"):
            return self._items("secrets", secret.get("secretName") or secret.get("name"), secret)
        if settings := source.get("configMap"):
            return self._items("configmaps", settings.get("name"), settings)
        if downward := source.get("downwardAPI"):
            fields = downward.get("items") or []
            return {
                each["path"]: field_value(self._pod, dig(each, "fieldRef", "fieldPath", default="")).encode()
                for each in fields
            }
        if "serviceAccountToken" in source:
            return {source["serviceAccountToken"].get("path", "token"): self._token["token"]}
        return None

    def _items(self, plural: str, name: str, source: Object) -> dict[str, bytes]:
        namespace = self._pod["metadata"]["namespace"]
        item = self._store.get(("", plural), namespace, name)
        if item is None:
            if source.get("optional"):
                return {}
            raise Missing(f'MountVolume.SetUp failed for volume: {plural.removesuffix("s")} "{name}" not found')
        data = content(item)
        if "items" not in source:
            return data
        wanted = source["items"]
        if absent := [each["key"] for each in wanted if each["key"] not in data]:
            raise Missing(f"references non-existent {plural.removesuffix('s')} key: {absent[0]}")
        return {each["path"]: data[each["key"]] for each in wanted}


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Each file is replaced as a whole, so that who reads sees the old one or the new one."""
    known = {path for path in folder.rglob("*") if path.is_file()}
    for name, data in files.items():
        path = folder / name
        known.discard(path)
        if path.exists() and path.read_bytes() == data:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.new")
        scratch.write_bytes(data)
        scratch.replace(path)
    for path in known:
        path.unlink()
