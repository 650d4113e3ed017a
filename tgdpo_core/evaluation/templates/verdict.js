"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const PER_PAGE = 20;
  const base = data.baseline;
  const by = (id) => document.getElementById(id);
  const state = { page: 0, found: [] };

  // -- what a judge says of a model in one entry ------------------------------------------------

  // How much better the model is than the baseline: of comparisons -0.5 to 0.5, of answers the
  // difference of scores, of the baseline beside nobody its score. null: not known.
  function lead(entry, judge, model) {
    if (data.judges[judge].reads === "comparisons") {
      const item = preference(entry, judge, model, base);
      return item === null || item.value === null ? null : item.value - 0.5;
    }
    const own = score(entry, judge, model);
    if (data.models.length === 1) return own;
    const other = score(entry, judge, base);
    return own === null || other === null ? null : own - other;
  }

  function score(entry, judge, model) {
    const answer = entry.a[model];
    return answer && answer.s[judge] ? answer.s[judge][0] : null;
  }

  // What was said of a model beside another, as it concerns that model.
  function preference(entry, judge, model, other) {
    for (const v of entry.v) {
      if (v.j !== judge) continue;
      if (v.m === model && v.o === other) return { value: v.x, first: v.f, second: v.s };
      if (v.m === other && v.o === model) {
        return { value: v.x === null ? null : 1 - v.x, first: turned(v.s), second: turned(v.f) };
      }
    }
    return null;
  }

  const turned = (o) => (o === null || o[0] === null ? o : [1 - o[0], o[1], o[2]]);

  const others = data.models.map((_, i) => i).filter((i) => i !== base);
  const contenders = others.length ? others : [base];

  const chosenModels = () =>
    by("model").value === "any" ? contenders : [Number(by("model").value)];

  function leads(entry) {
    const judge = Number(by("judge").value);
    if (!data.judges.length) return [];
    return chosenModels().map((m) => lead(entry, judge, m)).filter((x) => x !== null);
  }

  function isUnjudged(entry) {
    const gone = (opinion) => opinion !== null && opinion[0] === null;
    return entry.a.some((a) => a && a.s.some(gone)) ||
      entry.v.some((v) => gone(v.f) || gone(v.s));
  }

  function orderDecides(entry) {
    const side = (opinion) => Math.sign(opinion[0] - 0.5);
    return entry.v.some((v) => v.f && v.s && v.f[0] !== null && v.s[0] !== null &&
      side(v.f) !== side(v.s));
  }

  function judgesDisagree(entry) {
    return chosenModels().some((m) => {
      const said = data.judges.map((_, j) => lead(entry, j, m)).filter((x) => x !== null);
      return new Set(said.map(Math.sign)).size > 1;
    });
  }

  // -- filters and orders -----------------------------------------------------------------------

  const single = data.models.length === 1;
  const compares = data.judges.some((j) => j.reads === "comparisons");
  const shows = { all: ["all", () => true] };
  if (data.judges.length && !single) {
    shows.lost = ["losses", (e) => leads(e).some((x) => x < 0)];
    shows.tied = ["ties", (e) => leads(e).some((x) => x === 0)];
    shows.won = ["wins", (e) => leads(e).some((x) => x > 0)];
  }
  if (data.judges.length) shows.unjudged = ["unjudged", isUnjudged];
  shows.unfinished = ["unfinished", (e) => e.a.some((a) => a && a.f === false)];
  shows.empty = ["empty answers", (e) => e.a.some((a) => a && a.t.trim() === "")];
  if (compares) shows.order = ["order decides", orderDecides];
  if (data.judges.length > 1 && !single) shows.disagree = ["judges disagree", judgesDisagree];

  const longest = (e) => Math.max(...e.a.map((a) => (a ? a.t.length : 0)));
  const orders = {
    losses: [single ? "lowest score first" : "worst losses first", (a, b) => a.lead - b.lead || 0],
    wins: [single ? "highest score first" : "best wins first", (a, b) => b.lead - a.lead || 0],
    given: ["as given", () => 0],
    long: ["longest answers first", (a, b) => longest(b) - longest(a)],
  };
  if (!data.judges.length) { delete orders.losses; delete orders.wins; }

  function text(entry) {
    if (entry.text === undefined) {
      const all = [...entry.p.map((turn) => turn[1]), ...entry.a.map((a) => (a ? a.t : ""))];
      entry.text = all.join("\n").toLowerCase();
    }
    return entry.text;
  }

  // -- drawing ----------------------------------------------------------------------------------

  function element(tag, className, content) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (content !== undefined) made.textContent = content;
    return made;
  }

  function marked(parent, content) {
    const wanted = by("search").value.trim().toLowerCase();
    const lower = content.toLowerCase();
    let start = 0;
    if (wanted && lower.length === content.length) {
      for (let at; (at = lower.indexOf(wanted, start)) >= 0; start = at + wanted.length) {
        parent.append(content.slice(start, at));
        parent.append(element("mark", "", content.slice(at, at + wanted.length)));
      }
    }
    parent.append(content.slice(start));
  }

  const shown = (x) => (Number.isInteger(x) ? String(x) : x.toFixed(3).replace(/0+$/, ""));

  const outcome = (value) => (value > 0.5 ? "better" : value < 0.5 ? "worse" : "tie");

  function badges(entry, model) {
    const made = element("div", "badges");
    const add = (className, content) => made.append(element("span", `badge ${className}`, content));
    const answer = entry.a[model];
    data.judges.forEach((judge, j) => {
      if (judge.reads === "comparisons") {
        data.models.forEach((name, other) => {
          const item = other === model ? null : preference(entry, j, model, other);
          if (item === null || (model === base && others.length > 1)) return;
          const beside = other === base || data.models.length === 2 ? "" : ` than ${name}`;
          if (item.value === null) return add("warn", `${judge.name}: unjudged${beside}`);
          const word = outcome(item.value);
          const orders = [item.first, item.second].filter(Boolean).map((o) => shown(o[0]));
          const detail = new Set(orders).size > 1 ? `, by order ${orders.join(" and ")}` : "";
          add(word, `${judge.name}: ${word}${beside} (${shown(item.value)}${detail})`);
        });
      } else if (answer.s[j]) {
        const [value, reason] = answer.s[j];
        if (value === null) return add("warn", `${judge.name}: unjudged, ${reason}`);
        const ahead = single || model === base ? null : lead(entry, j, model);
        const className = ahead === null ? "" : ahead > 0 ? "better" : ahead < 0 ? "worse" : "tie";
        const beside = ahead ? ` (${ahead > 0 ? "+" : ""}${shown(ahead)})` : "";
        add(className, `${judge.name}: ${shown(value)}${beside}`);
      }
    });
    if (answer.f === false) add("warn", "unfinished");
    if (answer.k !== null) add("", `${answer.k} tokens`);
    if (answer.kl !== null) add("", `KL ${answer.kl.toFixed(2)}`);
    return made;
  }

  function explanations(entry, model) {
    const said = [];
    data.judges.forEach((judge, j) => {
      const opinion = entry.a[model].s[j];
      if (opinion) said.push([judge.name, opinion]);
    });
    for (const v of entry.v) {
      if (v.m !== model) continue;
      const name = `${data.judges[v.j].name}, beside ${data.models[v.o]}`;
      if (v.f) said.push([`${name}, shown first`, v.f]);
      if (v.s) said.push([`${name}, shown second`, v.s]);
    }
    const kept = said.filter(([, opinion]) => opinion[1] || opinion[2]);
    if (!kept.length) return [];
    const made = element("details");
    made.append(element("summary", "", "what the judge said"));
    for (const [name, [, reason, words]] of kept) {
      made.append(element("span", "role", reason ? `${name}: unjudged, ${reason}` : name));
      if (words) made.append(element("div", "words", words));
    }
    return [made];
  }

  function side(entry, model) {
    const made = element("section", model === base && !single ? "side base" : "side");
    const name = data.models[model];
    made.append(element("h3", "", model === base && !single ? `${name} (baseline)` : name));
    const answer = entry.a[model];
    if (!answer) {
      made.append(element("p", "answer empty", "no answer"));
      return made;
    }
    made.append(badges(entry, model));
    const body = element("div", answer.t.trim() ? "answer" : "answer empty");
    body.tabIndex = 0;
    body.setAttribute("role", "region");
    body.setAttribute("aria-label", `Answer of ${name}`);
    if (answer.t.trim()) marked(body, answer.t);
    else body.textContent = "(empty)";
    made.append(body, ...explanations(entry, model));
    return made;
  }

  function card(entry) {
    const made = element("article", "card entry");
    const header = element("header");
    header.append(element("h3", "", `Prompt ${entry.n}`));
    if (entry.of > 1) header.append(element("small", "", `answer ${entry.d} of ${entry.of}`));
    const prompt = element("div", "prompt");
    prompt.tabIndex = 0;
    for (const [role, content] of entry.p) {
      if (role) prompt.append(element("span", "role", role));
      marked(prompt, content);
    }
    const sides = element("div", "sides");
    const value = by("model").value;
    const order = value === "any" || single ? [base, ...others] : [base, Number(value)];
    order.forEach((model) => sides.append(side(entry, model)));
    made.append(header, prompt, sides);
    return made;
  }

  function draw() {
    const pages = Math.max(1, Math.ceil(state.found.length / PER_PAGE));
    state.page = Math.min(Math.max(state.page, 0), pages - 1);
    const start = state.page * PER_PAGE;
    const part = state.found.slice(start, start + PER_PAGE);
    by("entries").replaceChildren(...part.map(card));
    const all = data.entries.length;
    by("count").textContent = part.length
      ? `${start + 1} to ${start + part.length} of ${state.found.length}` +
        (state.found.length < all ? ` (${all} in all)` : "")
      : `None of ${all}. Change the search or what is shown.`;
    by("page").textContent = `page ${state.page + 1} of ${pages}`;
    by("previous").disabled = state.page === 0;
    by("next").disabled = state.page === pages - 1;
    by("pages").hidden = pages === 1;
  }

  function find() {
    const wanted = by("search").value.trim().toLowerCase();
    const keep = shows[by("show").value][1];
    const order = by("order").value;
    state.found = data.entries.filter((e) => keep(e) && (!wanted || text(e).includes(wanted)));
    // What is not known comes last in both orders.
    if (order === "losses") for (const e of state.found) e.lead = Math.min(Infinity, ...leads(e));
    if (order === "wins") for (const e of state.found) e.lead = Math.max(-Infinity, ...leads(e));
    state.found.sort(orders[order][1]);
    state.page = 0;
    draw();
  }

  function turn(step) {
    state.page += step;
    draw();
    by("answers").scrollIntoView();
  }

  // -- controls ---------------------------------------------------------------------------------

  function fill(id, options) {
    by(id).replaceChildren(...options.map(([value, label]) => {
      const option = element("option", "", label);
      option.value = value;
      return option;
    }));
  }

  fill("model", [...(contenders.length > 1 ? [["any", "all models"]] : []),
    ...contenders.map((i) => [i, data.models[i]])]);
  fill("judge", data.judges.map((judge, i) => [i, judge.name]));
  fill("show", Object.entries(shows).map(([id, [label]]) => [id, label]));
  fill("order", Object.entries(orders).map(([id, [label]]) => [id, label]));
  by("model-label").hidden = contenders.length < 2;
  by("judge-label").hidden = data.judges.length < 2;
  by("controls").hidden = by("keys").hidden = false;
  let waiting;
  by("search").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(find, 150);
  });
  for (const id of ["model", "judge", "show", "order"]) by(id).addEventListener("change", find);
  by("controls").addEventListener("submit", (event) => event.preventDefault());
  by("previous").addEventListener("click", () => turn(-1));
  by("next").addEventListener("click", () => turn(1));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input, select")) {
      if (event.key === "Escape") event.target.blur();
    } else if (event.key === "/") {
      event.preventDefault();
      by("search").focus();
    } else if (event.key === "n" && !by("next").disabled) turn(1);
    else if (event.key === "p" && !by("previous").disabled) turn(-1);
  });
  find();
})();
