"use strict";
// Every host as a cell, by region and department, and the series of the one that is pointed at.

const STEPS = 10;
const PAUSE_MS = 1000;
const POINTED_MS = 120;
const CHART = { left: 26, right: 354, top: 8, bottom: 132 };
const byId = (id) => document.getElementById(id);
const RESOURCES = byId("fleet").dataset.resources.split(" ");
const line = (name) => `${name} r${RESOURCES.indexOf(name)}`; // How the line of a resource is drawn.
const count = (number) => number.toLocaleString("en");
let hosts = null; // The columns of /hosts.
let cells = []; // The cell of each host, in the order of the columns.
let groups = []; // { head, places }: what a heading tells, and the hosts under it.
let shown = null; // The host whose series is shown,
let isKept = false; // and whether it stays when another one is pointed at.
let pointed = 0;
let refreshing = false;
let isStale = false;

function make(tag, className, ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

function draw(tag, attributes, text = "") {
  const made = document.createElementNS(byId("chart").namespaceURI, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

/** What a host is coloured by; null = it reports nothing. */
function valueOf(place) {
  const resource = byId("resource").value;
  if (resource !== "highest") return hosts[resource][place];
  const known = RESOURCES.map((name) => hosts[name][place]).filter((value) => value !== null);
  return known.length ? Math.max(...known) : null;
}

function looks(value) {
  if (value === null) return "cell gap";
  if (value >= hosts.hot_percent) return "cell over";
  return `cell s${Math.min(Math.floor(value / 100 * STEPS), STEPS - 1)}`;
}

/** Make a cell a host, region by region and department by department. */
function build() {
  const byRegion = new Map();
  cells = hosts.host_id.map((id, place) => {
    const made = make("button", "cell");
    made.type = "button";
    made.tabIndex = -1;
    made.dataset.place = place;
    made.setAttribute("aria-label", id);
    const region = byRegion.get(hosts.region[place]) ?? new Map();
    byRegion.set(hosts.region[place], region);
    region.set(hosts.department[place], region.get(hosts.department[place]) ?? []);
    region.get(hosts.department[place]).push(place);
    return made;
  });
  groups = [];
  byId("cells").replaceChildren(...sorted(byRegion).map(([region, departments]) => {
    const parts = sorted(departments).map(([department, places]) =>
      grouped("h4", department, places, make("div", "cells", ...places.map((place) => cells[place]))));
    return grouped("h3", region, [...departments.values()].flat(), make("div", "region", ...parts));
  }));
}

function grouped(tag, name, places, inner) {
  const head = make("span", "");
  const box = make("div", "", make(tag, "", `${name} `, head), inner);
  groups.push({ head, places, box });
  return box;
}

function sorted(map) {
  return [...map].sort(([one], [other]) => one.localeCompare(other));
}

/** Colour the cells, and say the same in words over each group. */
function colour() {
  if (!hosts) return;
  const values = hosts.host_id.map((_id, place) => valueOf(place));
  cells.forEach((each, place) => {
    const look = looks(values[place]) + (isKept && hosts.host_id[place] === shown ? " kept" : "");
    if (each.className !== look) each.className = look;
  });
  for (const { head, places } of groups) {
    const known = places.map((place) => values[place]).filter((value) => value !== null);
    const mean = known.length ? `${(known.reduce((sum, value) => sum + value, 0) / known.length).toFixed(0)} %` : "–";
    const over = known.filter((value) => value >= hosts.hot_percent).length;
    head.textContent = `${count(places.length)} hosts · mean ${mean}${over ? ` · ${count(over)} over` : ""}`;
  }
}

function legend() {
  const wide = 100 / STEPS;
  const steps = Array.from({ length: Math.ceil(hosts.hot_percent / wide) }, (_none, step) =>
    [`s${step}`, `${step * wide}–${Math.min((step + 1) * wide, hosts.hot_percent)}`]);
  byId("legend").replaceChildren(...[...steps, ["over", `${hosts.hot_percent} % or more`], ["gap", "no report"]].map(
    ([kind, text]) => make("li", "", make("span", `cell ${kind}`), text)));
}

/** Hide the hosts that do not hold every word that is looked for. */
function find() {
  if (!hosts) return;
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const isFound = hosts.host_id.map((id, place) => {
    const said = [id, hosts.region[place], hosts.department[place], hosts.criticality[place], hosts.server_type[place]].join(" ").toLowerCase();
    return words.every((word) => said.includes(word));
  });
  cells.forEach((each, place) => { each.hidden = !isFound[place]; });
  for (const { places, box } of groups) box.hidden = !places.some((place) => isFound[place]);
  const found = isFound.filter(Boolean).length;
  byId("found").textContent = words.length ? `${count(found)} of ${count(cells.length)} hosts` : `${count(cells.length)} hosts`;
  const first = cells.find((each) => !each.hidden);
  if (first && !cells.some((each) => each.tabIndex === 0 && !each.hidden)) reach(first);
}

/** Let the Tab key lead to a cell. */
function reach(to) {
  for (const each of cells) if (each.tabIndex === 0) each.tabIndex = -1;
  to.tabIndex = 0;
}

async function refreshHosts() {
  isStale = true;
  if (refreshing) return;
  refreshing = true;
  while (isStale) {
    isStale = false;
    try {
      const answer = await get("hosts");
      if (answer.ok) takeHosts(await answer.json());
    } catch { /* The stream says that the server is away, and the next summary comes here again. */ }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  refreshing = false;
}

function takeHosts(newest) {
  const isOther = hosts?.host_id.join() !== newest.host_id.join();
  hosts = newest;
  if (isOther) { build(); legend(); find(); }
  colour();
  if (shown) showSeries(shown);
}

function showHost(id) {
  shown = id;
  byId("host").hidden = false;
  byId("host-title").textContent = id;
  clearTimeout(pointed);
  pointed = setTimeout(() => showSeries(id), POINTED_MS);
}

/** Show a host until another one is kept, or it is closed. */
function keepHost(id) {
  isKept = true;
  showHost(id);
  colour();
}

function closeHost() {
  isKept = false;
  shown = null;
  byId("host").hidden = true;
  colour();
}

async function showSeries(id) {
  try {
    const answer = await get(`hosts/${encodeURIComponent(id)}`);
    if (answer.ok && id === shown) drawHost(await answer.json());
  } catch { /* As above. */ }
}

function drawHost(host) {
  const last = host.ts.length - 1;
  const number = (value, unit) => value === null ? "no report" : `${value.toFixed(1)} ${unit}`;
  byId("host-title").textContent = host.host_id;
  byId("host-said").textContent = [host.region, host.department, host.criticality, host.server_type].join(" · ");
  byId("host-now").replaceChildren(...RESOURCES.map((name) => {
    const sign = draw("svg", { viewBox: "0 0 26 6", "aria-hidden": "true" });
    sign.append(draw("path", { class: line(name), d: "M0 3H26" }));
    return make("li", "", sign, `${name} ${number(host[name][last], "%")}`);
  }), make("li", "quiet", `in ${number(host.net_in_mbps[last], "Mbps")}, out ${number(host.net_out_mbps[last], "Mbps")}`));
  drawChart(host, last);
}

function drawChart(host, last) {
  const x = (place) => CHART.left + (last ? place / last : 0.5) * (CHART.right - CHART.left);
  const y = (value) => CHART.bottom - value / 100 * (CHART.bottom - CHART.top);
  const across = (value, kind) => draw("path", { class: kind, d: `M${CHART.left} ${y(value)}H${CHART.right}` });
  const time = (place, anchor) => draw("text", { x: x(place), y: 146, "text-anchor": anchor }, host.ts[place].slice(11, 16));
  const parts = [0, 50, 100].flatMap((value) => [across(value, "grid"), draw("text", { x: CHART.left - 4, y: y(value) + 3, "text-anchor": "end" }, value)]);
  parts.push(across(hosts.hot_percent, "threshold"), ...(last ? [time(0, "start"), time(last, "end")] : [time(0, "middle")]));
  for (const name of RESOURCES) {
    const points = host[name].map((value, place) => [place, value]).filter(([, value]) => value !== null);
    // A line goes on only between neighbours: a gap stays one.
    parts.push(draw("path", { class: line(name), d: points.map(([place, value], index) =>
      `${index && points[index - 1][0] === place - 1 ? "L" : "M"}${x(place).toFixed(1)} ${y(value).toFixed(1)}`).join("") }));
    parts.push(...points.slice(-1).map(([place, value]) => draw("circle", { class: line(name), cx: x(place), cy: y(value), r: 2.6 })));
  }
  byId("chart").replaceChildren(...parts);
  const spans = RESOURCES.map((name) => {
    const known = host[name].filter((value) => value !== null);
    return known.length ? `${name} ${Math.min(...known).toFixed(0)} to ${Math.max(...known).toFixed(0)} percent` : `${name} no report`;
  });
  byId("chart").setAttribute("aria-label", `${host.host_id} from ${host.ts[0]} to ${host.ts[last]}: ${spans.join(", ")}`);
}

for (const name of RESOURCES) {
  byId("resource").append(make("option", "", name));
  byId("regions").tHead.rows[0].append(Object.assign(make("th", "", name), { scope: "col" }));
}

const cellAt = (event) => event.target.closest("button.cell");

/** Return the cell that an arrow leads to: the next one, or the nearest in the line above or below. */
function neighbour(from, key) {
  const visible = cells.filter((each) => !each.hidden).sort((one, other) => one.compareDocumentPosition(other) & 4 ? -1 : 1);
  const here = visible.indexOf(from);
  const step = key === "ArrowLeft" || key === "ArrowUp" ? -1 : 1;
  if (key === "Home" || key === "End") return visible.at(key === "Home" ? 0 : -1);
  if (key === "ArrowLeft" || key === "ArrowRight") return visible[here + step];
  const start = from.getBoundingClientRect();
  let best;
  for (let place = here + step; visible[place]; place += step) {
    const box = visible[place].getBoundingClientRect();
    if (Math.abs(box.top - start.top) < 2 || (box.top - start.top) * step < 0) continue;
    if (best && Math.abs(box.top - best.top) >= 2) break;
    const off = Math.abs(box.left - start.left);
    if (!best || off < best.off) best = { off, top: box.top, cell: visible[place] };
  }
  return best?.cell;
}

byId("cells").addEventListener("pointerover", (event) => {
  const cell = cellAt(event);
  if (cell && !isKept && event.pointerType === "mouse") showHost(hosts.host_id[cell.dataset.place]);
});
byId("cells").addEventListener("focusin", (event) => {
  const cell = cellAt(event);
  if (!cell || !cell.matches(":focus-visible")) return;
  const value = valueOf(cell.dataset.place);
  cell.setAttribute("aria-label", `${hosts.host_id[cell.dataset.place]}, ${value === null ? "no report" : `${value.toFixed(1)} percent`}`);
  isKept = false;
  showHost(hosts.host_id[cell.dataset.place]);
});
byId("cells").addEventListener("click", (event) => {
  const cell = cellAt(event);
  if (cell) { reach(cell); keepHost(hosts.host_id[cell.dataset.place]); }
});
byId("cells").addEventListener("keydown", (event) => {
  const cell = cellAt(event);
  const isMove = cell && ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key);
  const to = isMove ? neighbour(cell, event.key) : null;
  if (isMove) event.preventDefault();
  if (to) { reach(to); to.focus(); }
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && shown) closeHost(); });
byId("host-close").addEventListener("click", closeHost);
byId("resource").addEventListener("change", colour);
byId("search").addEventListener("input", find);
