// Two ways for messages to come in, one to send them. No library.
"use strict";

const get = (id) => document.getElementById(id);
const me = Math.random().toString(36).slice(2);
let last = 0; // number of the newest message that is shown
let stop = () => {}; // ends the present way

// -- what one sees ------------------------------------------------------------------------------------------------------

function hue(name) {
  let sum = 0;
  for (const letter of name) sum = (sum * 31 + letter.codePointAt(0)) % 360;
  return sum;
}

function element(kind, className, text) {
  const made = document.createElement(kind);
  made.className = className;
  made.textContent = text; // never as HTML: others wrote it
  return made;
}

function show(message) {
  if (message.number <= last) return;
  last = message.number;
  const item = element("li", "message", "");
  item.classList.toggle("own", message.name === get("name").value);
  item.classList.toggle("again", get("messages").lastElementChild?.dataset.name === message.name);
  item.dataset.name = message.name;
  item.style.setProperty("--hue", hue(message.name));
  const face = element("span", "face", [...message.name][0].toUpperCase());
  face.setAttribute("aria-hidden", "true");
  const who = element("span", "who", "");
  const time = new Date(message.time * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  who.append(element("b", "", message.name), ` ${time}`);
  item.append(face, who, element("span", "said", message.text));
  get("messages").append(item);
  item.scrollIntoView({ block: "end" });
  const comet = document.querySelector(".comet");
  comet.classList.remove("passing");
  void comet.offsetWidth; // so that it starts again
  comet.classList.add("passing");
}

// A window that gets smaller, as when a phone's keyboard comes, goes on showing the newest.
addEventListener("resize", () => get("messages").lastElementChild?.scrollIntoView({ block: "end" }));

function here(number) {
  get("here").textContent = number === 1 ? "1 window is open" : `${number} windows are open`;
}

function state(is, text) {
  get("state").dataset.state = is;
  get("state").textContent = text;
}

// -- how messages come in -----------------------------------------------------------------------------------------------

function stream() {
  const source = new EventSource(`stream?after=${last}`); // it connects again by itself
  source.onopen = () => state("live", "live");
  source.onerror = () => state("away", "connecting again");
  source.addEventListener("here", (event) => here(Number(event.data)));
  source.onmessage = (event) => show(JSON.parse(event.data));
  return () => source.close();
}

function poll() {
  const ending = new AbortController();
  (async () => {
    let now = "&now=1"; // the first one only looks
    while (!ending.signal.aborted) {
      try {
        const answer = await fetch(`poll?after=${last}&who=${me}${now}`, { signal: ending.signal });
        if (!answer.ok) throw new Error(answer.status);
        state("live", "live");
        now = "";
        const news = await answer.json();
        here(news.here);
        news.messages.forEach(show);
      } catch (error) {
        if (ending.signal.aborted) return;
        state("away", "connecting again");
        now = "&now=1";
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    }
  })();
  return () => ending.abort();
}

function listen() {
  stop();
  state("away", "connecting");
  stop = get("way").value === "stream" ? stream() : poll();
}

// -- what one says ------------------------------------------------------------------------------------------------------

const NAMES = ["Halley", "Encke", "Biela", "Borrelly", "Tempel", "Swift", "Tuttle", "Hyakutake", "Hale", "Bopp", "Lovejoy"];
get("name").value = sessionStorage.getItem("name") || NAMES[Math.floor(Math.random() * NAMES.length)];
get("name").onchange = () => sessionStorage.setItem("name", get("name").value);
get("way").onchange = listen;

get("form").onsubmit = async (event) => {
  event.preventDefault();
  const text = get("text").value;
  get("text").value = "";
  get("text").focus();
  try {
    const answer = await fetch("say", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ name: get("name").value, text }),
    });
    if (!answer.ok) throw new Error(answer.status);
  } catch (error) {
    get("text").value = text; // to be sent again
    state("away", "could not be sent");
  }
};

const wanted = new URLSearchParams(location.search).get("way");
if (wanted) get("way").value = wanted;
listen();
