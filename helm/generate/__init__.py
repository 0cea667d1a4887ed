"""Writes those files of the chart that follow from others: `script/chart` does it, and tests compare.

`schema` makes values.schema.json from the CRD, `readme` the chart's table of values from values.yaml, and `dashboards`
the Grafana dashboards from a description that people can read.
"""
