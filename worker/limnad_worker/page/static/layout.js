// Where each stage of a dataflow graph is drawn: layers from top to bottom, a loop as a box with its own layers in it.
//
// A connector crosses a loop's border only at an ingress or egress stage. So each loop is laid out by itself, from the
// inside out; to what is around it, it is one big node with a port for each ingress above and each egress below. Those
// stages stand on the box's border. A feedback edge is drawn on the right: below the stage that it comes from, up a lane
// of its own, where its feedback stage stands, and down into the stage where the loop begins.
//
// Pure: the same graph gives the same picture. All sizes in CSS pixels.

const STAGE = { width: 220, height: 68 };
const PILL = { ingress: { width: 56, height: 22 }, egress: { width: 56, height: 22 }, feedback: { width: 78, height: 22 } };
const ROW_GAP = 44;
const COLUMN_GAP = 26;
const LANE_WIDTH = 14;
const LABEL_GAP = 9;
const LABEL_RISE = 11;
const BOX_PADDING = 26;
const MARGIN = 14;
const ORDER_SWEEPS = 12;
const PLACE_SWEEPS = 40;

/**
 * @param {{stages: {kind: string, home: ?number}[], connectors: {source: number, target: number, feedback: boolean}[],
 *          loops: {parent: ?number}[], stageWidth: ?number}} graph
 * @returns {{width: number, height: number,
 *            stages: {x: number, y: number, width: number, height: number}[],
 *            loops: {x: number, y: number, width: number, height: number, depth: number}[],
 *            connectors: {path: string, x: number, y: number}[]}} x and y of stages and loops: their upper left corner;
 *            of connectors: where a label stands.
 */
export function layout(graph) {
  const picture = {
    stages: graph.stages.map(() => null),
    loops: graph.loops.map(() => null),
    connectors: graph.connectors.map(() => null),
  };
  const top = new Level(graph, null);
  top.place();
  top.draw(picture, MARGIN, MARGIN, 0);
  return { ...picture, width: top.width + 2 * MARGIN, height: top.height + 2 * MARGIN };
}

/** One loop, or what is outside all of them: its items (stages and inner loops) in rows. */
class Level {
  constructor(graph, loop) {
    this.graph = graph;
    this.loop = loop;
    this.items = [];
    this.itemOf = new Map(); // stage -> the item of this level that it is, or is in
    const plain = { ...STAGE, width: graph.stageWidth ?? STAGE.width };
    graph.stages.forEach((stage, index) => {
      if (stage.home === loop) this.add({ kind: stage.kind, stage: index, ...(PILL[stage.kind] ?? plain) }, [index]);
    });
    graph.loops.forEach((inner, index) => {
      if (inner.parent !== loop) return;
      const level = new Level(graph, index);
      level.place();
      this.add({ kind: "loop", level, width: level.width, height: level.height }, level.itemOf.keys());
    });
    this.edges = [];
    graph.connectors.forEach((connector, index) => {
      const source = this.itemOf.get(connector.source);
      const target = this.itemOf.get(connector.target);
      if (source === undefined || target === undefined || (source === target && source.level)) return;
      this.edges.push({ index, source, target, from: port(source, connector.source), to: port(target, connector.target) });
    });
  }

  add(item, stages) {
    item.order = this.items.length;
    this.items.push(item);
    for (const stage of stages) this.itemOf.set(stage, item);
  }

  place() {
    const isLane = (item) => item.kind === "feedback";
    const backward = backEdges(this.items, this.edges);
    this.lanes = this.items.filter(isLane).map((item) => ({
      item,
      into: this.edges.filter((edge) => edge.target === item),
      outOf: this.edges.filter((edge) => edge.source === item),
    }));
    this.forward = this.edges.filter((edge) => !isLane(edge.source) && !isLane(edge.target));
    for (const edge of this.forward) edge.turned = backward.has(edge);
    rank(this.items.filter((item) => !isLane(item)), this.forward, this.loop !== null);
    this.rows = this.makeRows();
    this.chains = this.forward.map((edge) => this.chain(edge));
    this.links = this.chains.flatMap(links);
    orderRows(this.rows, this.links);
    placeColumns(this.rows, this.links);
    // Only now is it known in which order edges come to a stage; that moves the stage a little.
    this.shifts = spread(this.edges, this.graph);
    for (const link of this.links) shiftPorts(link, this.shifts);
    placeColumns(this.rows, this.links);
    this.placeLanes();
    this.placeRows();
  }

  makeRows() {
    const rows = [];
    for (const item of this.items) if (item.rank !== undefined) (rows[item.rank] ??= []).push(item);
    return Array.from(rows, (row) => row ?? []);
  }

  /** The edge with an invisible item in each row that it passes. */
  chain(edge) {
    const [upper, lower] = edge.turned ? [edge.target, edge.source] : [edge.source, edge.target];
    const between = [];
    for (let number = upper.rank + 1; number < lower.rank; number += 1) {
      const dummy = { kind: "dummy", width: LANE_WIDTH, height: 0, rank: number, order: this.rows[number].length };
      this.rows[number].push(dummy);
      between.push(dummy);
    }
    return { edge, upper, lower, between, upperPort: edge.turned ? edge.to : edge.from, lowerPort: edge.turned ? edge.from : edge.to };
  }

  /** Puts each feedback stage to the right of all rows that its edges pass; short lanes within long ones. */
  placeLanes() {
    const right = this.rows.map((row) => Math.max(...row.map((item) => item.x + item.width / 2)));
    for (const lane of this.lanes) {
      const ends = [...lane.into.map((edge) => edge.source), ...lane.outOf.map((edge) => edge.target)];
      const ranks = ends.filter((item) => item.rank !== undefined).map((item) => item.rank);
      lane.first = Math.min(...ranks, this.rows.length - 1);
      lane.last = Math.max(...ranks, 0);
    }
    this.lanes.sort((one, two) => one.last - one.first - (two.last - two.first));
    for (const { item, first, last } of this.lanes) {
      const middle = Math.floor((first + last) / 2);
      const half = (row) => (row === middle ? item.width : LANE_WIDTH) / 2;
      item.x = -Infinity;
      for (let row = first; row <= last; row += 1) item.x = Math.max(item.x, right[row] + COLUMN_GAP + half(row));
      for (let row = first; row <= last; row += 1) right[row] = item.x + half(row);
      item.rank = middle;
      this.rows[middle].push(item);
    }
  }

  placeRows() {
    const inLoop = this.loop !== null;
    let left = Infinity;
    let right = -Infinity;
    for (const item of this.rows.flat()) {
      left = Math.min(left, item.x - item.width / 2);
      right = Math.max(right, item.x + item.width / 2);
    }
    const padding = inLoop ? BOX_PADDING : 0;
    this.left = left === Infinity ? 0 : left - padding;
    this.width = left === Infinity ? 0 : right - left + 2 * padding;
    let y = 0;
    this.bands = this.rows.map((row) => {
      const height = Math.max(0, ...row.map((item) => item.height));
      const band = { top: y, bottom: y + height };
      for (const item of row) item.y = y + height / 2;
      y += height + ROW_GAP;
      return band;
    });
    this.height = Math.max(0, y - ROW_GAP);
    // The first and the last row of a loop stand on the border of its box; without such stages it gets some room.
    const [first, last] = [this.rows[0] ?? [], this.rows.at(-1) ?? []];
    this.roof = inLoop ? (first.some((item) => item.kind === "ingress") ? -PILL.ingress.height / 2 : ROW_GAP) : 0;
    this.floor = inLoop ? (last.some((item) => item.kind === "egress") ? -PILL.egress.height / 2 : ROW_GAP) : 0;
    this.height += Math.max(0, this.roof) + Math.max(0, this.floor);
  }

  /** Writes absolute places into the picture; (x, y) is the upper left corner of this level. */
  draw(picture, x, y, depth) {
    const dx = x - this.left;
    const dy = y + Math.max(0, this.roof);
    if (this.loop !== null) {
      const inset = Math.max(0, -this.roof);
      const height = this.height - inset - Math.max(0, -this.floor);
      picture.loops[this.loop] = { x, y: y + inset, width: this.width, height, depth };
    }
    for (const item of this.items) {
      const corner = { x: item.x - item.width / 2 + dx, y: item.y - item.height / 2 + dy };
      if (item.level) item.level.draw(picture, corner.x, corner.y, depth + 1);
      else picture.stages[item.stage] = { ...corner, width: item.width, height: item.height };
    }
    for (const chain of this.chains) picture.connectors[chain.edge.index] = this.drawChain(chain, dx, dy);
    for (const lane of this.lanes) this.drawLane(lane, picture, dx, dy);
  }

  drawChain({ edge, upper, lower, between, upperPort, lowerPort }, dx, dy) {
    const shift = this.shifts.get(edge) ?? 0;
    const points = [{ x: upper.x + upperPort + (edge.turned ? shift : 0), y: upper.y + upper.height / 2 }];
    for (const dummy of between) {
      const band = this.bands[dummy.rank];
      points.push({ x: dummy.x, y: band.top }, { x: dummy.x, y: band.bottom });
    }
    points.push({ x: lower.x + lowerPort + (edge.turned ? 0 : shift), y: lower.y - lower.height / 2 });
    const placed = points.map((point) => ({ x: point.x + dx, y: point.y + dy }));
    // A label stands beside the last bend: above an edge that goes to the right, below one that goes to the left.
    const [before, end] = placed.slice(-2);
    const rise = Math.abs(end.x - before.x) < LABEL_GAP ? 0 : Math.sign(end.x - before.x) * LABEL_RISE;
    if (edge.turned) placed.reverse();
    return { path: curve(placed), x: (before.x + end.x) / 2 + LABEL_GAP, y: (before.y + end.y) / 2 - rise };
  }

  drawLane(lane, picture, dx, dy) {
    const pill = lane.item;
    const x = pill.x + dx;
    for (const edge of lane.into) {
      const { source } = edge;
      if (source.rank === undefined) continue;
      const startX = source.x + edge.from + dx;
      const startY = source.y + source.height / 2 + dy;
      const turnY = this.bands[source.rank].bottom + dy;
      const endY = pill.y + pill.height / 2 + dy;
      const dip = Math.max(startY, turnY) + ROW_GAP * 0.72;
      picture.connectors[edge.index] = {
        path: `M${r(startX)},${r(startY)}C${r(startX)},${r(dip)} ${r(x)},${r(dip)} ${r(x)},${r(turnY)}V${r(endY)}`,
        x: (startX + x) / 2,
        y: turnY + ROW_GAP * 0.45,
      };
    }
    for (const edge of lane.outOf) {
      const { target } = edge;
      if (target.rank === undefined) continue;
      const endX = target.x + edge.to + (this.shifts.get(edge) ?? 0) + dx;
      const endY = target.y - target.height / 2 + dy;
      const turnY = this.bands[target.rank].top + dy;
      const startY = pill.y - pill.height / 2 + dy;
      const rise = Math.min(endY, turnY) - ROW_GAP * 0.72;
      picture.connectors[edge.index] = {
        path: `M${r(x)},${r(startY)}V${r(turnY)}C${r(x)},${r(rise)} ${r(endX)},${r(rise)} ${r(endX)},${r(endY)}`,
        x: (endX + x) / 2,
        y: turnY - ROW_GAP * 0.45,
      };
    }
  }
}

/** How far right of an item's middle an edge of this stage starts or ends. */
function port(item, stage) {
  if (!item.level) return 0;
  const inner = item.level.itemOf.get(stage);
  const center = item.level.left + item.level.width / 2;
  return inner.x - center + port(inner, stage);
}

/** The edges that lead back to where they came from; those of feedback stages do not count. */
function backEdges(items, edges) {
  const out = new Map(items.map((item) => [item, []]));
  for (const edge of edges) {
    if (edge.source.kind !== "feedback" && edge.target.kind !== "feedback") out.get(edge.source).push(edge);
  }
  const found = new Set();
  const state = new Map();
  const stack = [];
  for (const root of items) {
    if (state.has(root)) continue;
    stack.push([root, 0]);
    state.set(root, "open");
    while (stack.length) {
      const frame = stack.at(-1);
      const edge = out.get(frame[0])[frame[1]];
      frame[1] += 1;
      if (edge === undefined) {
        state.set(frame[0], "done");
        stack.pop();
      } else if (state.get(edge.target) === "open") {
        found.add(edge);
      } else if (!state.has(edge.target)) {
        state.set(edge.target, "open");
        stack.push([edge.target, 0]);
      }
    }
  }
  return found;
}

/** Numbers the rows: each item below all that feed it; a loop's ingress stages first and its egress stages last. */
function rank(items, edges, inLoop) {
  const above = new Map(items.map((item) => [item, []]));
  const below = new Map(items.map((item) => [item, []]));
  for (const edge of edges) {
    const [upper, lower] = edge.turned ? [edge.target, edge.source] : [edge.source, edge.target];
    if (upper === lower) continue;
    above.get(lower).push(upper);
    below.get(upper).push(lower);
  }
  const first = inLoop && items.some((item) => item.kind === "ingress") ? 1 : 0;
  const waiting = new Map(items.map((item) => [item, above.get(item).length]));
  const ready = items.filter((item) => !waiting.get(item));
  const sorted = [];
  while (ready.length) {
    const item = ready.shift();
    sorted.push(item);
    item.rank = item.kind === "ingress" ? 0 : Math.max(first, ...above.get(item).map((each) => each.rank + 1));
    for (const next of below.get(item)) {
      waiting.set(next, waiting.get(next) - 1);
      if (!waiting.get(next)) ready.push(next);
    }
  }
  // What only feeds others moves down to them, so that its edges are short.
  for (const item of sorted.reverse()) {
    if (item.kind === "ingress" || !below.get(item).length || above.get(item).length) continue;
    item.rank = Math.min(...below.get(item).map((each) => each.rank)) - 1;
  }
  const egress = items.filter((item) => item.kind === "egress");
  const body = items.filter((item) => item.kind !== "egress");
  const last = Math.max(0, ...body.map((item) => item.rank + 1));
  for (const item of egress) item.rank = last;
}

function links({ edge, upper, lower, between, upperPort, lowerPort }) {
  const items = [upper, ...between, lower];
  return items.slice(1).map((item, index) => ({
    edge,
    upper: items[index],
    lower: item,
    first: index === 0,
    last: item === lower,
    upperPort: index ? 0 : upperPort,
    lowerPort: item === lower ? lowerPort : 0,
    weight: (items[index].kind === "dummy") + (item.kind === "dummy") ? 4 : 1,
  }));
}

function shiftPorts(link, shifts) {
  const shift = shifts.get(link.edge) ?? 0;
  if (link.edge.turned && link.first) link.upperPort += shift;
  if (!link.edge.turned && link.last) link.lowerPort += shift;
}

/** Sorts each row by where its neighbours are (barycenters), up and down, and keeps the order with fewest crossings. */
function orderRows(rows, all) {
  let best = rows.map((row) => [...row]);
  let fewest = crossings(rows, all);
  for (let sweep = 0; sweep < ORDER_SWEEPS && fewest; sweep += 1) {
    const down = sweep % 2 === 0;
    const [mine, other] = down ? ["lower", "upper"] : ["upper", "lower"];
    for (const row of down ? rows : [...rows].reverse()) {
      const wish = new Map();
      row.forEach((item, index) => {
        const near = all.filter((link) => link[mine] === item);
        const places = near.map((link) => link[other].order + link[`${other}Port`] / 1e4);
        wish.set(item, places.length ? places.reduce((sum, place) => sum + place, 0) / places.length : index);
      });
      row.sort((one, two) => wish.get(one) - wish.get(two));
      row.forEach((item, index) => (item.order = index));
    }
    const count = crossings(rows, all);
    if (count < fewest) [best, fewest] = [rows.map((row) => [...row]), count];
  }
  best.forEach((row, number) => {
    rows[number].splice(0, rows[number].length, ...row);
    row.forEach((item, index) => (item.order = index));
  });
}

function crossings(rows, all) {
  rows.forEach((row) => row.forEach((item, index) => (item.order = index)));
  let count = 0;
  for (let number = 1; number < rows.length; number += 1) {
    const near = all.filter((link) => link.lower.rank === number);
    for (let one = 0; one < near.length; one += 1) {
      for (let two = one + 1; two < near.length; two += 1) {
        const above = place(near[one], "upper") - place(near[two], "upper");
        const below = place(near[one], "lower") - place(near[two], "lower");
        if (above * below < 0) count += 1;
      }
    }
  }
  return count;
}

const place = (link, end) => link[end].order + link[`${end}Port`] / 1e4;

/** Gives each item its x: near its neighbours, in the order of its row, without overlap. */
function placeColumns(rows, all) {
  const above = new Map();
  const below = new Map();
  for (const link of all) {
    (above.get(link.lower) ?? above.set(link.lower, []).get(link.lower)).push(link);
    (below.get(link.upper) ?? below.set(link.upper, []).get(link.upper)).push(link);
  }
  for (const row of rows) {
    let x = 0;
    for (const item of row) {
      item.x = x + item.width / 2;
      x += item.width + COLUMN_GAP;
    }
    for (const item of row) item.x -= (x - COLUMN_GAP) / 2;
  }
  for (let sweep = 0; sweep < PLACE_SWEEPS; sweep += 1) {
    const order = sweep % 2 ? [...rows].reverse() : rows;
    for (const row of order) {
      const wishes = row.map((item) => {
        let [sum, weight] = [0, 0];
        for (const link of above.get(item) ?? []) {
          sum += link.weight * (link.upper.x + link.upperPort - link.lowerPort);
          weight += link.weight;
        }
        for (const link of below.get(item) ?? []) {
          sum += link.weight * (link.lower.x + link.lowerPort - link.upperPort);
          weight += link.weight;
        }
        return weight ? { x: sum / weight, weight } : { x: item.x, weight: 0.01 };
      });
      settle(row, wishes);
    }
  }
}

/** The places nearest to the wishes that keep order and distance (least squares, by pooling adjacent violators). */
function settle(row, wishes) {
  const blocks = [];
  let offset = 0;
  row.forEach((item, index) => {
    if (index) offset += (row[index - 1].width + item.width) / 2 + COLUMN_GAP;
    item.offset = offset;
    let block = { sum: (wishes[index].x - offset) * wishes[index].weight, weight: wishes[index].weight, items: [item] };
    while (blocks.length && blocks.at(-1).sum / blocks.at(-1).weight >= block.sum / block.weight) {
      const before = blocks.pop();
      block = { sum: before.sum + block.sum, weight: before.weight + block.weight, items: [...before.items, ...block.items] };
    }
    blocks.push(block);
  });
  for (const block of blocks) for (const item of block.items) item.x = block.sum / block.weight + item.offset;
}

/** Where on a stage the edges into it end, if there are several: side by side, in the order of where they come from. */
function spread(edges, graph) {
  const into = new Map();
  for (const edge of edges) {
    if (edge.target.kind === "loop" || graph.stages[edge.target.stage].kind === "feedback") continue;
    (into.get(edge.target) ?? into.set(edge.target, []).get(edge.target)).push(edge);
  }
  const shifts = new Map();
  for (const several of into.values()) {
    // What comes back comes from the right.
    const place = (edge) => (edge.source.kind === "feedback" ? Infinity : edge.source.x + edge.from);
    several.sort((one, two) => (place(one) < place(two) ? -1 : place(one) > place(two) ? 1 : one.index - two.index));
    const step = Math.min(34, several[0].target.width / (several.length + 1));
    several.forEach((edge, index) => shifts.set(edge, (index - (several.length - 1) / 2) * step));
  }
  return shifts;
}

function curve(points) {
  let path = `M${r(points[0].x)},${r(points[0].y)}`;
  for (let index = 1; index < points.length; index += 1) {
    const [from, to] = [points[index - 1], points[index]];
    const middle = (from.y + to.y) / 2;
    path += from.x === to.x ? `V${r(to.y)}` : `C${r(from.x)},${r(middle)} ${r(to.x)},${r(middle)} ${r(to.x)},${r(to.y)}`;
  }
  return path;
}

const r = (number) => Math.round(number * 10) / 10;
