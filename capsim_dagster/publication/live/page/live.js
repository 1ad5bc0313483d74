"use strict";
// The summary comes as server-sent events, read with fetch: EventSource cannot send the header with the token.

const KEY = "capsim-live-token";
const AGAIN_MS = 2000;
const LISTED = 12;
let token = sessionStorage.getItem(KEY);
let lastSeq = null;
let coming = null;

/** Ask this server for a path, with the token if there is one. */
function get(path, headers = {}) {
  return fetch(path, { headers: token ? { ...headers, Authorization: `Bearer ${token}` } : headers, cache: "no-store" });
}

function cell(tag, content, className = "") {
  const made = make(tag, className, content);
  if (tag === "th") made.scope = "row";
  return made;
}

function row(cells) {
  return make("tr", "", ...cells);
}

/** A region's cell: a bar as long as the mean, both numbers, and a mark where the highest is over the threshold. */
function spread({ mean, max }, threshold) {
  if (mean === null) return cell("td", "–");
  const made = cell("td", `${mean.toFixed(0)} `, max >= threshold ? "is-hot" : "");
  made.append(make("b", "", max.toFixed(0)));
  made.style.setProperty("--mean", `${mean}%`);
  return made;
}

function hostLink(id) {
  const link = make("button", "link", id);
  link.type = "button";
  link.addEventListener("click", () => keepHost(id));
  return link;
}

function show(summary) {
  byId("time").textContent = summary.ts.replace("T", " ").replace(/:00Z$/, "");
  byId("speed").textContent = `${summary.speed} ×`;
  byId("reporting").textContent = `${count(summary.reporting)} of ${count(summary.hosts)}`;
  byId("hot-label").textContent = `hosts at ${summary.hot_percent} % or more`;
  byId("hot-hosts").textContent = count(summary.hot_hosts);
  byId("hot-title").textContent = `Hosts at ${summary.hot_percent} % or more`;
  byId("hot-caption").textContent = summary.hot_series ? "The hottest first" : "None now";
  byId("regions").tBodies[0].replaceChildren(...summary.regions.map((each) => row([
    cell("th", each.region), cell("td", count(each.hosts), "number"),
    ...RESOURCES.map((name) => spread(each.resources[name], summary.hot_percent)),
  ])));
  byId("hot").tBodies[0].replaceChildren(...summary.hot.slice(0, LISTED).map((each) => row([
    cell("th", hostLink(each.host_id)), cell("td", each.region), cell("td", each.resource), cell("td", each.value.toFixed(1), "number"),
  ])));
  byId("hot").tHead.hidden = !summary.hot_series;
  byId("hot-more").hidden = summary.hot_series <= LISTED;
  byId("hot-more").textContent = `and ${count(summary.hot_series - LISTED)} more`;
  refreshHosts();
}

/** Show the newest summary when the browser draws next: several may come in between. */
function showSoon(summary) {
  lastSeq = summary.seq;
  if (coming === null) requestAnimationFrame(() => { const newest = coming; coming = null; show(newest); });
  coming = summary;
}

function say(text, isBad = false) {
  byId("state").textContent = text;
  byId("state").className = isBad ? "bad" : "";
}

function ask(isNeeded) {
  byId("ask").hidden = !isNeeded;
  byId("fleet").hidden = isNeeded;
  if (isNeeded) byId("token").focus();
}

function take(event) {
  const data = event.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("\n");
  if (event.startsWith("event: dropped")) throw new Error(data);
  if (data) showSoon(JSON.parse(data));
}

async function follow() {
  const headers = { Accept: "text/event-stream" };
  if (lastSeq !== null) headers["Last-Event-ID"] = String(lastSeq);
  const answer = await get("summary", headers);
  if (answer.status === 401) {
    sessionStorage.removeItem(KEY);
    ask(true);
    say(token ? "that token is not the one" : "this server wants a token", true);
    token = null;
    return false;
  }
  if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
  ask(false);
  say("live");
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the stream has ended");
    const events = (text + value).split("\n\n");
    text = events.pop();
    events.forEach(take);
  }
}

async function keepFollowing() {
  for (;;) {
    try {
      if (!(await follow())) return;
    } catch (error) {
      say(`not connected (${error.message}); trying again`, true);
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value.trim();
  sessionStorage.setItem(KEY, token);
  byId("token").value = "";
  keepFollowing();
});
keepFollowing();
