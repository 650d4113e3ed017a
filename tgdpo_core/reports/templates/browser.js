// The page of the token browser: sorts and filters by columns, shows a page of pairs. Columns and
// pairs are scripts that call tokens.take(name, value).
"use strict";

const MOST_PARTS = 60; // kept in memory

// -- loading --------------------------------------------------------------------------------------

const loaded = new Map(); // name to a promise of what its script hands over
const waiting = new Map();

const tokens = {
  take(name, value) {
    waiting.get(name)?.(value);
    waiting.delete(name);
  },
};
window.tokens = tokens;

function load(name) {
  if (loaded.has(name)) {
    const kept = loaded.get(name);
    loaded.delete(name); // the last used stands last
    loaded.set(name, kept);
    return kept;
  }
  const promise = new Promise((resolve, reject) => {
    waiting.set(name, resolve);
    const script = document.createElement("script");
    script.src = `${name}.js`;
    script.onload = () => script.remove();
    script.onerror = () => {
      loaded.delete(name);
      script.remove();
      reject(new Error(`${name}.js cannot be loaded: is the folder whole, is the server there?`));
    };
    document.head.append(script);
  });
  loaded.set(name, promise);
  const parts = [...loaded.keys()].filter((each) => each.startsWith("pairs/"));
  for (const old of parts.slice(0, Math.max(0, parts.length - MOST_PARTS))) loaded.delete(old);
  return promise;
}

// -- what is shown: kept in the address -------------------------------------------------------------

const START = { sort: "number", desc: false, low: "", high: "", filter: [], page: 0, scale: "data", reach: 1, numbers: false };
let state = { ...START };

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const number = (name, least, otherwise) => {
    const value = Number(given.get(name) ?? NaN);
    return Number.isFinite(value) && value >= least ? value : otherwise;
  };
  const bound = (name) => {
    const text = given.get(name) ?? "";
    return text !== "" && Number.isFinite(Number(text)) ? text : "";
  };
  const sort = given.get("sort");
  const scale = given.get("scale");
  const known = new Set([...meta.signs, "errors"]);
  state = {
    sort: meta.columns.includes(sort) ? sort : START.sort,
    desc: given.get("desc") === "1",
    low: bound("low"),
    high: bound("high"),
    filter: (given.get("filter") ?? "").split(",").filter((each) => known.has(each)),
    page: Math.floor(number("page", 1, 1)) - 1,
    scale: ["data", "page", "fixed"].includes(scale) ? scale : START.scale,
    reach: number("reach", 0.001, meta.fixed),
    numbers: given.get("numbers") === "1",
  };
}

function writeAddress() {
  const kept = new URLSearchParams();
  if (state.sort !== START.sort) kept.set("sort", state.sort);
  if (state.desc) kept.set("desc", "1");
  for (const name of ["low", "high"]) if (state[name] !== "") kept.set(name, state[name]);
  if (state.filter.length) kept.set("filter", state.filter.join(","));
  if (state.page) kept.set("page", String(state.page + 1));
  if (state.scale !== START.scale) kept.set("scale", state.scale);
  if (state.scale === "fixed") kept.set("reach", String(state.reach));
  if (state.numbers) kept.set("numbers", "1");
  history.replaceState(null, "", `#${kept}`);
}

function change(changes, { keepPage = false } = {}) {
  state = { ...state, ...(keepPage ? {} : { page: 0 }), ...changes };
  writeAddress();
  show();
}

// -- sorting and filtering --------------------------------------------------------------------------

async function rowsShown() {
  const needed = new Set(["columns/number"]);
  if (state.sort !== "number") needed.add(`columns/${state.sort}`);
  const signs = state.filter.filter((each) => each !== "errors");
  if (signs.length) needed.add("columns/signs");
  if (state.filter.includes("errors")) needed.add("columns/errors");
  await Promise.all([...needed].map(load));
  const keys = await load(`columns/${state.sort}`);
  const bits = signs.length ? await load("columns/signs") : null;
  const errors = state.filter.includes("errors") ? await load("columns/errors") : null;
  const mask = signs.reduce((sum, each) => sum | (1 << meta.signs.indexOf(each)), 0);
  const low = state.low === "" ? -Infinity : Number(state.low);
  const high = state.high === "" ? Infinity : Number(state.high);
  const isCut = state.low !== "" || state.high !== "";
  const rows = [];
  for (let row = 0; row < meta.pairs; row++) {
    if (bits && (bits[row] & mask) !== mask) continue;
    if (errors && !(errors[row] > 0)) continue;
    if (isCut && (keys[row] === null || keys[row] < low || keys[row] > high)) continue;
    rows.push(row);
  }
  const sign = state.desc ? -1 : 1;
  // Pairs without a value come last in either order.
  rows.sort((a, b) =>
    keys[a] === null || keys[b] === null
      ? (keys[a] === null) - (keys[b] === null) || a - b
      : sign * (keys[a] - keys[b]) || a - b,
  );
  return { rows, keys };
}

async function pairsOf(rows) {
  const parts = new Map();
  for (const row of rows) parts.set(Math.floor(row / meta.per_part), null);
  await Promise.all(
    [...parts.keys()].map(async (part) => parts.set(part, await load(`pairs/${part}`))),
  );
  return rows.map((row) => parts.get(Math.floor(row / meta.per_part))[row % meta.per_part]);
}

// -- the page ---------------------------------------------------------------------------------------

let pages = 1;
let run = 0; // only the last call draws: earlier ones may still wait for their parts

function controls() {
  byId("sort").value = state.sort;
  byId("order").textContent = state.desc ? "highest first" : "lowest first";
  byId("low").value = state.low;
  byId("high").value = state.high;
  byId("scale").value = state.scale;
  byId("reach").value = state.reach;
  byId("reach-label").hidden = state.scale !== "fixed";
  byId("numbers").checked = state.numbers;
  for (const box of document.getElementsByName("filter")) box.checked = state.filter.includes(box.value);
  byId("pairs").classList.toggle("values", state.numbers);
}

async function show() {
  const mine = ++run;
  controls();
  try {
    const { rows, keys } = await rowsShown();
    pages = Math.max(1, Math.ceil(rows.length / meta.per_part));
    if (state.page >= pages) {
      state.page = pages - 1;
      writeAddress();
    }
    const here = rows.slice(state.page * meta.per_part, (state.page + 1) * meta.per_part);
    const pairs = await pairsOf(here);
    if (mine !== run) return;
    const reach = reaches(pairs);
    legends(reach);
    byId("pairs").replaceChildren(...pairs.map((pair, i) => article(pair, keys[here[i]], reach)));
    const of = rows.length === meta.pairs ? `${meta.pairs} pairs` : `${rows.length} of ${meta.pairs} pairs`;
    byId("place").textContent = `page ${state.page + 1} of ${pages}, ${of}`;
    byId("first").disabled = byId("previous").disabled = state.page === 0;
    byId("last").disabled = byId("next").disabled = state.page >= pages - 1;
  } catch (error) {
    if (mine === run) byId("pairs").replaceChildren(make("p", "card problem", error.message));
  }
}

function turn(page) {
  const to = Math.min(Math.max(0, page), pages - 1);
  if (to === state.page) return;
  change({ page: to }, { keepPage: true });
  window.scrollTo({ top: 0 });
}

function step(by) {
  const all = [...document.querySelectorAll("main article")];
  const at = all.indexOf(document.activeElement.closest("article"));
  const next = all[Math.min(Math.max(0, at + by), all.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: "start" });
}

async function goTo(number) {
  const numbers = await load("columns/number");
  const row = numbers.indexOf(number);
  const place = byId("place");
  if (row < 0) {
    place.textContent = `There is no pair ${number} here.`;
    return;
  }
  state = { ...START, scale: state.scale, reach: state.reach, numbers: state.numbers, page: Math.floor(row / meta.per_part) };
  writeAddress();
  await show();
  const found = document.querySelectorAll("main article")[row % meta.per_part];
  found?.focus();
  found?.scrollIntoView({ block: "start" });
}

byId("controls").addEventListener("submit", (event) => event.preventDefault());
byId("sort").addEventListener("change", (event) => change({ sort: event.target.value, low: "", high: "" }));
byId("order").addEventListener("click", () => change({ desc: !state.desc }));
byId("low").addEventListener("change", (event) => change({ low: event.target.value }));
byId("high").addEventListener("change", (event) => change({ high: event.target.value }));
byId("scale").addEventListener("change", (event) => change({ scale: event.target.value }, { keepPage: true }));
byId("reach").addEventListener("change", (event) => {
  if (event.target.valueAsNumber > 0) change({ reach: event.target.valueAsNumber }, { keepPage: true });
});
byId("numbers").addEventListener("change", (event) => change({ numbers: event.target.checked }, { keepPage: true }));
for (const box of document.getElementsByName("filter"))
  box.addEventListener("change", () =>
    change({ filter: [...document.getElementsByName("filter")].filter((each) => each.checked).map((each) => each.value) }),
  );
byId("first").addEventListener("click", () => turn(0));
byId("previous").addEventListener("click", () => turn(state.page - 1));
byId("next").addEventListener("click", () => turn(state.page + 1));
byId("last").addEventListener("click", () => turn(pages - 1));
byId("go").addEventListener("change", (event) => {
  if (Number.isInteger(event.target.valueAsNumber)) goTo(event.target.valueAsNumber);
});
window.addEventListener("hashchange", () => {
  readAddress();
  show();
});

const KEYS = {
  ArrowLeft: () => turn(state.page - 1),
  ArrowRight: () => turn(state.page + 1),
  j: () => step(1),
  k: () => step(-1),
  s: () => byId("sort").focus(),
  o: () => change({ desc: !state.desc }),
  c: () => {
    const scales = ["data", "page", "fixed"];
    change({ scale: scales[(scales.indexOf(state.scale) + 1) % 3] }, { keepPage: true });
  },
  n: () => change({ numbers: !state.numbers }, { keepPage: true }),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.matches("input:not([type=checkbox]), select, textarea")) return;
  const act = KEYS[event.key];
  if (act) {
    event.preventDefault();
    act();
  }
});

readAddress();
show();
