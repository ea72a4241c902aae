// Sends files, and shows how much of them the server has received: what it says counts, not what the browser has sent.
"use strict";

const get = (id) => document.getElementById(id);
const AT_A_TIME = 3; // a browser has six connections to a site: some must be left to ask on
const EVERY_MS = 200;
const queue = [];
const running = new Set();

// Who knows the id may watch: so it is chosen by chance.
const newId = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function bytes(number) {
  const units = ["bytes", "KB", "MB", "GB"];
  let unit = 0;
  while (number >= 1000 && unit < 3) { number /= 1000; unit += 1; }
  return `${unit ? number.toFixed(1) : number} ${units[unit]}`;
}

class Upload {
  constructor(name, id) {
    this.id = id;
    this.size = 0;
    this.received = 0;
    this.item = get("upload").content.firstElementChild.cloneNode(true);
    this.find(".name").textContent = name; // never as HTML: somebody else may have chosen it
    this.find(".watch").href = `?${new URLSearchParams({ watch: id, name })}`;
    this.find(".cancel").onclick = () => this.cancel();
    get("uploads").prepend(this.item);
  }

  find(what) {
    return this.item.querySelector(what);
  }

  get over() {
    return ["done", "error"].includes(this.item.dataset.state);
  }

  say(state, text) {
    this.item.dataset.state = state;
    this.find(".said").textContent = text;
  }

  // One answer of the server.
  show({ state, received, size }) {
    if (this.over || state === "starting") return;
    this.received = received;
    this.size = size ?? this.size;
    this.first ??= { at: performance.now(), received }; // of somebody else's upload the rest was there before
    const percent = this.size ? (100 * received) / this.size : 0;
    this.find("progress").value = percent;
    this.find(".percent").textContent = this.size ? `${Math.floor(percent)} %` : "";
    const seconds = (performance.now() - this.first.at) / 1000;
    const speed = seconds > 0.5 ? ` · ${bytes(Math.round((received - this.first.received) / seconds))}/s` : "";
    this.say("uploading", `${bytes(received)} of ${this.size ? bytes(this.size) : "?"}${speed}`);
    raise();
  }

  async ask() {
    const answer = await fetch(`progress?X-Progress-ID=${this.id}`);
    if (!answer.ok) throw new Error(answer.status);
    return answer.json();
  }

  // Ask again and again, until it is over.
  async follow() {
    while (!this.over) {
      try {
        this.show(await this.ask());
      } catch {
        // The next answer may come again.
      }
      await sleep(EVERY_MS);
    }
  }

  async send(file) {
    this.size = file.size;
    this.sending = new AbortController();
    this.say("starting", "starting");
    this.follow();
    try {
      const answer = await fetch(`files?X-Progress-ID=${this.id}`, { method: "POST", body: file, signal: this.sending.signal });
      if (!answer.ok) throw new Error(`the server refused it: ${answer.status} ${answer.statusText}`);
      const got = await answer.json();
      this.received = got.size;
      this.find("progress").value = 100;
      this.find(".percent").textContent = "100 %";
      this.say("done", `${bytes(got.size)} · SHA-256 ${got.sha256.slice(0, 16)}… · by worker ${got.worker}`);
    } catch (error) {
      this.say("error", this.sending.signal.aborted ? "cancelled" : error.message);
    }
    raise();
  }

  cancel() {
    const waiting = queue.findIndex(([upload]) => upload === this);
    if (waiting >= 0) {
      queue.splice(waiting, 1);
      this.say("error", "cancelled");
    } else {
      this.sending.abort();
    }
  }

  // Somebody else's, by its id.
  async watch() {
    this.item.classList.add("seen");
    this.say("starting", "not begun yet");
    while (!this.over) {
      try {
        const now = await this.ask();
        this.show(now);
        if (now.state === "done") this.say("done", `${bytes(now.received)} have arrived`);
        if (now.state === "error") this.say("error", `broken off after ${bytes(now.received)}`);
      } catch {
        // The next answer may come again.
      }
      await sleep(EVERY_MS);
    }
    raise();
  }
}

// The sea rises with what has arrived of all that is on its way.
function raise() {
  let size = 0, received = 0;
  for (const upload of running) { size += upload.size; received += upload.received; }
  get("drop").style.setProperty("--level", size ? received / size : 0);
}

async function next() {
  if (running.size >= AT_A_TIME || !queue.length) return;
  const [upload, file] = queue.shift();
  running.add(upload);
  await upload.send(file);
  running.delete(upload);
  raise();
  next();
}

function add(files) {
  for (const file of files) {
    queue.push([new Upload(file.name, newId()), file]);
    next();
  }
}

get("files").onchange = (event) => { add(event.target.files); event.target.value = ""; };
const drop = get("drop");
drop.ondragover = (event) => { event.preventDefault(); drop.classList.add("over"); };
drop.ondragleave = () => drop.classList.remove("over");
drop.ondrop = (event) => { event.preventDefault(); drop.classList.remove("over"); add(event.dataTransfer.files); };
// A file that falls beside it must not be opened in place of the page.
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => event.preventDefault());

const asked = new URLSearchParams(location.search);
if (asked.has("watch")) {
  drop.hidden = get("note").hidden = true;
  const upload = new Upload(asked.get("name") || "An upload", asked.get("watch"));
  running.add(upload);
  upload.watch();
}
