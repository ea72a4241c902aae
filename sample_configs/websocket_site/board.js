// One WebSocket: what I draw goes out with each picture of the screen, what others draw comes in as they do. No library.
"use strict";

const get = (id) => document.getElementById(id);
const SIZE = 4096; // the board's, whatever the window's is
const LONGEST = 200; // numbers in one message
const canvas = get("canvas");
const pen = canvas.getContext("2d");
let lines = []; // all that is on the board, to be drawn again when the window changes
let me = { number: 0, hue: 20 };
let socket = null;
let wait = 250; // milliseconds until the next try to connect

// -- what one sees ------------------------------------------------------------------------------------------------------

function fit() {
  const scale = window.devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * scale;
  canvas.height = canvas.clientHeight * scale;
  lines.forEach(draw);
}

function draw({ line, hue }) {
  const x = canvas.width / SIZE, y = canvas.height / SIZE;
  const light = getComputedStyle(document.documentElement).getPropertyValue("--light");
  pen.strokeStyle = pen.fillStyle = `hsl(${hue} 75% ${light})`;
  pen.lineWidth = 3.5 * (window.devicePixelRatio || 1);
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  pen.moveTo(line[0] * x, line[1] * y);
  for (let at = 2; at < line.length; at += 2) pen.lineTo(line[at] * x, line[at + 1] * y);
  if (line.length === 2) pen.lineTo(line[0] * x, line[1] * y + 0.1); // a dot
  pen.stroke();
}

function add(piece) {
  lines.push(piece);
  draw(piece);
  document.body.classList.add("drawn");
}

function wipe() {
  lines = [];
  pen.clearRect(0, 0, canvas.width, canvas.height);
  document.body.classList.remove("drawn");
}

function point(by, hue, at) {
  let pointer = get(`pointer-${by}`);
  if (!pointer) {
    pointer = document.createElement("div");
    pointer.id = `pointer-${by}`;
    pointer.className = "pointer";
    pointer.style.setProperty("--hue", hue);
    get("pointers").append(pointer);
  }
  const [x, y] = [(at[0] * canvas.clientWidth) / SIZE, (at[1] * canvas.clientHeight) / SIZE];
  pointer.style.transform = `translate(${x}px, ${y}px)`;
}

function state(is, text) {
  get("state").dataset.state = is;
  get("state").textContent = text;
}

// -- what comes in ------------------------------------------------------------------------------------------------------

const DO = {
  hello(message) {
    me = { number: message.you, hue: message.hue };
    document.documentElement.style.setProperty("--mine", me.hue);
    wipe();
    message.lines.forEach(add);
  },
  here: ({ number }) => { get("here").textContent = number === 1 ? "Nobody else is here" : `${number} are here`; },
  draw(message) {
    add(message);
    point(message.by, message.hue, message.line.slice(-2));
  },
  point: ({ by, hue, at }) => point(by, hue, at),
  gone: ({ by }) => get(`pointer-${by}`)?.remove(),
  wipe,
};

function connect() {
  const opening = (socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/board`));
  opening.onopen = () => {
    wait = 250;
    state("live", "live");
  };
  opening.onmessage = (event) => {
    const message = JSON.parse(event.data);
    DO[message.do]?.(message);
  };
  opening.onclose = () => {
    state("away", "connecting again");
    get("pointers").replaceChildren();
    setTimeout(connect, wait);
    wait = Math.min(wait * 2, 8000);
  };
}

// -- what goes out ------------------------------------------------------------------------------------------------------

let drawing = null; // the numbers of my line that have not been sent
let last = null; // where my pen was when I sent something
let asked = false;

function say(message) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  const within = (value) => Math.max(0, Math.min(SIZE, Math.round(value * SIZE)));
  return [within((event.clientX - box.left) / box.width), within((event.clientY - box.top) / box.height)];
}

function send() {
  asked = false;
  if (drawing && drawing.length >= 2) {
    for (let at = 0; at < Math.max(1, drawing.length - 2); at += LONGEST - 2) {
      const line = drawing.slice(at, at + LONGEST); // each begins where the one before ended
      add({ line, hue: me.hue });
      say({ do: "draw", line });
    }
    drawing = drawing.slice(-2);
  } else if (last) {
    say({ do: "point", at: last });
  }
}

function soon() {
  if (!asked) requestAnimationFrame(send);
  asked = true;
}

canvas.onpointerdown = (event) => {
  canvas.setPointerCapture(event.pointerId);
  drawing = place(event);
  soon();
};
canvas.onpointermove = (event) => {
  const moves = event.getCoalescedEvents?.() ?? [];
  for (const each of moves.length ? moves : [event]) {
    last = place(each);
    drawing?.push(...last);
  }
  soon();
};
canvas.onpointerup = canvas.onpointercancel = () => {
  send();
  drawing = null;
};
get("wipe").onclick = () => say({ do: "wipe" });
window.onresize = fit;

fit();
connect();
