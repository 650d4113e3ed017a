// How the token browser draws pairs, tokens and legends: text becomes text, never markup.
"use strict";

const meta = JSON.parse(document.getElementById("meta").textContent);
const byId = (id) => document.getElementById(id);

// -- colours ----------------------------------------------------------------------------------------

function reaches(pairs) {
  if (state.scale === "fixed") return () => state.reach;
  if (state.scale === "data") return (name) => meta.reaches[name];
  const found = {};
  const add = (name, values, middle) => {
    for (const value of values)
      if (value !== null) found[name] = Math.max(found[name] ?? 0, Math.abs(value - middle));
  };
  for (const side of pairs.flatMap((pair) => pair.sides)) {
    add("reward", side.reward, 0);
    add("weight", side.weight, 1);
    side.sources.forEach((values, i) => add(`source ${i}`, values, 0));
  }
  return (name) => found[name] ?? 0;
}

function level(value, middle, reach) {
  if (value === null || value === middle || !reach) return 0;
  const size = Math.abs(value - middle) / reach;
  return Math.sign(value - middle) * Math.min(meta.levels, Math.max(1, Math.round(meta.levels * size)));
}

const named = (at, up, down) => (at ? `${at > 0 ? up : down}${Math.abs(at)}` : "");

// -- drawing ----------------------------------------------------------------------------------------

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

const shown = (value) => (value === null ? "not finite" : String(Number(value.toPrecision(4))).replace("-", "\u2212"));

function token(side, i, value, reach, weightReach) {
  const text = side.text[i];
  const isSum = weightReach !== null;
  const classes = [
    "t",
    named(level(value, 0, reach), "p", "n") || "z",
    isSum ? named(level(side.weight[i], 1, weightReach), "u", "d") : "",
    side.errors?.includes(i) ? "e" : "",
  ];
  const element = make("span", classes.filter(Boolean).join(" "));
  for (const piece of typeof text === "string" ? [[text, "text"]] : text)
    element.append(piece[1] === "text" ? piece[0] : make("i", piece[1], piece[0]));
  const said = [`reward ${shown(side.reward[i])}`, `weight ${shown(side.weight[i])}`];
  side.sources.forEach((values, k) => said.push(`${meta.sources[k]} ${shown(values[i])}`));
  said.push(`log p_ref ${shown(side.logp[i])} (token ${i}, id ${side.id[i]})`);
  if (side.errors?.includes(i)) said.push("marked error");
  element.title = said.join(", ");
  element.dataset.v = isSum ? `${shown(value)} ${shown(side.weight[i])}` : shown(value);
  return element;
}

function line(side, values, reach, weightReach) {
  const paragraph = make("p", "tokens");
  values.forEach((value, i) => {
    paragraph.append(token(side, i, value, reach, weightReach));
    const text = side.text[i];
    const last = typeof text === "string" ? null : text[text.length - 1];
    paragraph.append(make(last && last[1] === "newline" ? "br" : "wbr"));
  });
  return paragraph;
}

function sideOf(side, reach) {
  const section = make("section", "side");
  const heading = make("h3", "", side.side);
  const marked = side.errors ? `, errors ${side.errors.length}` : "";
  heading.append(
    " ",
    make("small", "", `${side.text.length} tokens, mean reward ${shown(side.mean_reward)}, weight ${shown(side.mean_weight)}${marked}`),
  );
  section.append(heading);
  if (side.sources.length) section.append(make("h4", "", "sum, with weights"));
  section.append(line(side, side.reward, reach("reward"), reach("weight")));
  side.sources.forEach((values, i) => {
    section.append(make("h4", "", meta.sources[i]), line(side, values, reach(`source ${i}`), null));
  });
  section.style.gridRow = `span ${section.children.length}`;
  return section;
}

function article(pair, key, reach) {
  const element = make("article", "card");
  element.tabIndex = -1;
  const heading = make("h2", "", pair.title || pair.where);
  const more = pair.title ? [pair.where] : [];
  if (state.sort !== "number") more.push(`${byId("sort").selectedOptions[0].textContent}: ${shown(key)}`);
  heading.append(" ", make("small", "", more.join(", ")));
  const prompt = make("div", "prompt", pair.prompt);
  prompt.tabIndex = 0;
  prompt.setAttribute("role", "region");
  prompt.setAttribute("aria-label", "prompt");
  const [a, b] = pair.sides.map((side) => Math.max(1, side.text.length));
  const sides = make("div", `sides r${Math.max(-2, Math.min(2, Math.round(Math.log2(a / b))))}`);
  sides.append(...pair.sides.map((side) => sideOf(side, reach)));
  element.append(heading, prompt, sides);
  return element;
}

function legend(name, reach, middle, [low, high], [up, down]) {
  const figure = make("figure", "legend");
  figure.append(make("figcaption", "", name));
  if (!reach) {
    figure.append(make("div", "ends", `${middle} on every token`));
    return figure;
  }
  const bar = make("div", "bar");
  bar.setAttribute("aria-hidden", "true");
  for (let i = -meta.levels; i <= meta.levels; i++) bar.append(make("b", named(i, up, down) || "z"));
  const ticks = make("div", "ticks");
  for (const value of [middle - reach, middle, middle + reach]) ticks.append(make("span", "", shown(value)));
  const ends = make("div", "ends");
  ends.append(make("span", "", low), make("span", "", high));
  figure.append(bar, ticks, ends);
  return figure;
}

function legends(reach) {
  const good = ["bad token", "good token"];
  const found = [
    legend("Reward r: the colour", reach("reward"), 0, good, ["p", "n"]),
    legend("Weight f: the line under a token", reach("weight"), 1, ["counts less than in DPO", "counts more"], ["u", "d"]),
  ];
  meta.sources.forEach((name, i) => found.push(legend(name, reach(`source ${i}`), 0, good, ["p", "n"])));
  byId("legends").replaceChildren(...found);
}
