"use strict";
// The summary comes as server-sent events, read with fetch: EventSource cannot send the header with the token.

const RESOURCES = ["cpu", "memory", "disk", "network"];
const KEY = "capsim-live-token";
const AGAIN_MS = 2000;
const byId = (id) => document.getElementById(id);
let token = sessionStorage.getItem(KEY);
let lastSeq = null;

function cell(tag, text, className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  if (tag === "th") made.scope = "row";
  return made;
}

function heat(value) {
  if (value === null) return cell("td", "–", "none");
  const made = cell("td", value.toFixed(1), "heat");
  // Half as high is a quarter as strong, so that the eye goes to what runs full.
  made.style.background = `hsl(var(--hot) / calc(var(--heat-max) * ${((value / 100) ** 2).toFixed(3)}))`;
  return made;
}

function row(cells) {
  const made = document.createElement("tr");
  made.append(...cells);
  return made;
}

function show(summary) {
  lastSeq = summary.seq;
  byId("time").textContent = summary.ts.replace("T", " ").replace(/:00Z$/, "");
  byId("speed").textContent = `${summary.speed} ×`;
  byId("reporting").textContent = `${summary.reporting.toLocaleString("en")} of ${summary.hosts.toLocaleString("en")}`;
  byId("hot-label").textContent = `hosts at ${summary.hot_percent} % or more`;
  byId("hot-hosts").textContent = summary.hot_hosts.toLocaleString("en");
  byId("hot-title").textContent = `Hosts at ${summary.hot_percent} % or more`;
  const shown = summary.hot.length < summary.hot_series ? `, the first ${summary.hot.length} of ${summary.hot_series.toLocaleString("en")}` : "";
  byId("hot-caption").textContent = summary.hot_series ? `The hottest first${shown}` : "None now";
  byId("regions").tBodies[0].replaceChildren(...summary.regions.map((each) => row([
    cell("th", each.region), cell("td", each.hosts.toLocaleString("en"), "number"),
    ...RESOURCES.flatMap((name) => [heat(each.resources[name].mean), heat(each.resources[name].max)]),
  ])));
  byId("hot").tBodies[0].replaceChildren(...summary.hot.map((each) => row([
    cell("th", each.host_id), cell("td", each.region), cell("td", each.resource), cell("td", each.value.toFixed(1), "number"),
  ])));
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
  if (data) show(JSON.parse(data));
}

async function follow() {
  const headers = { Accept: "text/event-stream" };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (lastSeq !== null) headers["Last-Event-ID"] = String(lastSeq);
  const answer = await fetch("summary", { headers, cache: "no-store" });
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
byId("measures").append(...RESOURCES.flatMap(() => ["mean", "max"]).map((name) => {
  const made = cell("th", name);
  made.scope = "col";
  return made;
}));
keepFollowing();
