// The page: what is dropped or filmed goes to the server, and what comes back is shown.

import { Space, bytes, drawJoints, drawPlot, drawSurfaces } from "./view.js";

const at = (name) => document.getElementById(name);
const word = crypto.randomUUID ? crypto.randomUUID() : String(Math.random()); // this page's place in the line
const overlay = at("overlay"), video = at("video");
let space = null, shown = null, stop = null;

function say(text, fault = false) {
  at("state").textContent = text;
  at("state").classList.toggle("fault", fault);
}

function space3d() {
  space ??= new Space(at("turned"));
  return space;
}

function reset() {
  stop?.();
  stop = shown = null;
  for (const name of ["seen", "space", "numbers", "files", "plotted", "sheets"]) at(name).hidden = true;
  video.hidden = true;
  video.pause();
  video.removeAttribute("src");
  video.srcObject = null;
  overlay.classList.remove("over");
  at("files").querySelector("ul").replaceChildren();
}

async function ask(path, file) {
  const answer = await fetch(path, { method: "POST", body: file, headers: { "x-page": word } });
  const found = await answer.json().catch(() => ({ error: "the server does not answer" }));
  if (!answer.ok) throw new Error(found.error);
  return found;
}

function offer(name, content, kind) {
  const link = document.createElement("a"), row = document.createElement("li");
  link.download = name;
  link.href = URL.createObjectURL(new Blob([content], { type: kind }));
  link.textContent = name;
  row.append(link);
  at("files").querySelector("ul").append(row);
  at("files").hidden = false;
}

function count(hands) {
  const names = hands.map((hand) => `${hand.side} hand`);
  return hands.length ? `${hands.length} ${hands.length > 1 ? "hands" : "hand"}: ${names.join(", ")}.` : "No hand is seen.";
}

// Names of hands to choose from; keeps the choice where it is still there.
function list(hands) {
  const names = hands.map((hand, k) => [String(hand.id ?? k), `${hand.side} ${hand.id ?? k + 1}`]), before = at("hand").value;
  if ([...at("hand").options].map((option) => option.value + option.text).join() !== names.map((name) => name.join("")).join()) {
    at("hand").replaceChildren(...names.map(([value, text]) => new Option(text, value)));
    if (names.some(([value]) => value === before)) at("hand").value = before;
  }
}

function table(hand) {
  const rows = Object.entries(hand?.angles_degrees ?? {}).map(([name, degrees]) => {
    const row = document.createElement("tr");
    for (const text of [name.replaceAll("_", " "), degrees.toFixed(0)]) row.append(Object.assign(document.createElement("td"), { textContent: text }));
    return row;
  });
  at("angles").querySelector("tbody").replaceChildren(...rows);
}

function chosen(hands) {
  return hands.find((hand, k) => String(hand.id ?? k) === at("hand").value) ?? hands[0];
}

function paint(source, width, height, found, faces) {
  const scale = Math.min(1, 1280 / width), context = overlay.getContext("2d");
  overlay.width = Math.round(width * scale);
  overlay.height = Math.round(height * scale);
  if (source) context.drawImage(source, 0, 0, overlay.width, overlay.height);
  if (at("surface").checked) drawSurfaces(context, found.hands, faces, scale);
  drawJoints(context, found.hands, found.bones, scale);
}

async function picture(file) {
  say("Looking at the picture ...");
  const [found, image] = await Promise.all([ask("api/picture", file), createImageBitmap(file, { imageOrientation: "from-image" })]);
  const faces = found.faces ? new Uint32Array(bytes(found.faces).buffer) : null;
  for (const name of ["seen", "space", "numbers"]) at(name).hidden = found.hands.length === 0 && name !== "seen";
  shown = () => {
    paint(image, found.width, found.height, found, faces);
    table(chosen(found.hands));
  };
  list(found.hands);
  shown();
  if (found.hands.length) space3d().show(found.hands, faces, found.bones, false);
  const { glb, mediapipe, faces: _, ...plain } = found, stem = file.name.replace(/\.[^.]*$/, "") || "hands";
  const light = { ...plain, hands: plain.hands.map(({ vertices, ...hand }) => hand) };
  offer(`${stem}.json`, JSON.stringify(light), "application/json");
  offer(`${stem}_mediapipe.json`, JSON.stringify(mediapipe), "application/json");
  if (found.hands.length) offer(`${stem}_angles.csv`, angles(found.hands), "text/csv");
  if (glb) offer(`${stem}.glb`, bytes(glb), "model/gltf-binary");
  say(count(found.hands));
}

function angles(hands) {
  const names = Object.keys(hands[0].angles_degrees);
  const rows = hands.map((hand, k) => [k + 1, hand.side, ...names.map((name) => hand.angles_degrees[name].toFixed(3))]);
  return [["hand", "side", ...names], ...rows].map((row) => row.join(",")).join("\n") + "\n";
}

async function clip(file) {
  say("Tracking the hands of the clip ...");
  const found = await ask("api/clip", file), stem = file.name.replace(/\.[^.]*$/, "") || "clip";
  const kinds = { json: "application/json", csv: "text/csv", glb: "model/gltf-binary", bvh: "text/plain" };
  for (const [name, content] of Object.entries(found.files)) offer(name.replace(/^hands/, stem), bytes(content), kinds[name.split(".").pop()]);
  const everyone = new Map();
  for (const frame of found.frames) for (const hand of frame.hands) if (!everyone.has(hand.id)) everyone.set(hand.id, hand);
  list([...everyone.values()]);
  const names = Object.keys([...everyone.values()][0]?.angles_degrees ?? {});
  at("angle").replaceChildren(...names.map((name) => new Option(name.replaceAll("_", " "), name)));
  if (names.includes("index_pip_flexion")) at("angle").value = "index_pip_flexion";
  for (const name of ["seen", "space", "numbers"]) at(name).hidden = false;
  at("plotted").hidden = names.length === 0;
  video.src = URL.createObjectURL(file);
  video.hidden = false;
  overlay.classList.add("over");
  const seconds = found.frames.map((frame) => frame.time);
  let last = -1, going = true;
  const frameNow = () => {
    let k = seconds.findIndex((time) => time > video.currentTime + 1e-3);
    return Math.max(0, (k < 0 ? seconds.length : k) - 1);
  };
  shown = () => {
    const frame = found.frames[frameNow()] ?? { hands: [], time: 0 };
    paint(null, video.videoWidth || 640, video.videoHeight || 480, { hands: frame.hands, bones: found.bones }, null);
    space3d().show(frame.hands, null, found.bones, true);
    const hand = frame.hands.find((each) => String(each.id) === at("hand").value);
    table(hand);
    const values = found.frames.flatMap((each) =>
      each.hands.filter((one) => String(one.id) === at("hand").value).map((one) => [each.time, one.angles_degrees[at("angle").value]]),
    );
    drawPlot(at("plot"), values, frame.time);
  };
  const tick = () => {
    if (!going) return;
    if (frameNow() !== last) {
      last = frameNow();
      shown();
    }
    requestAnimationFrame(tick);
  };
  stop = () => (going = false);
  video.onloadeddata = () => {
    last = -1;
    tick();
  };
  if (everyone.size) space3d().place([...everyone.values()]);
  say(`${found.frames.length} frames. ${count([...everyone.values()])}`);
}

async function folder(file) {
  say("Looking at the folder ...");
  const found = await ask("api/folder", file);
  offer(`${file.name.replace(/\.zip$/i, "")}_hands.zip`, bytes(found.results), "application/zip");
  const pictures = Object.entries(found.overlays).map(([name, content]) => {
    const image = Object.assign(new Image(), { alt: name, src: URL.createObjectURL(new Blob([bytes(content)], { type: "image/png" })) });
    return image;
  });
  at("sheets").replaceChildren(...pictures);
  at("sheets").hidden = pictures.length === 0;
  const lines = [...found.said, ...found.skipped.map((problem) => `Passed over: ${problem}`)];
  say(lines.join("\n") || "Nothing was found.");
}

async function webcam() {
  reset();
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
  } catch {
    say("There is no webcam, or it may not be used.", true);
    return;
  }
  at("camera").setAttribute("aria-pressed", "true");
  at("camera").textContent = "Stop the webcam";
  const hidden = document.createElement("video"), sheet = document.createElement("canvas");
  Object.assign(hidden, { srcObject: stream, muted: true, playsInline: true });
  await hidden.play();
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/webcam`);
  let going = true, faces = null, sent = 0, latency = 0;
  const send = () => {
    if (!going || socket.readyState !== WebSocket.OPEN) return;
    sheet.width = hidden.videoWidth;
    sheet.height = hidden.videoHeight;
    sheet.getContext("2d").drawImage(hidden, 0, 0);
    sheet.toBlob((blob) => blob && going && socket.readyState === WebSocket.OPEN && ((sent = performance.now()), socket.send(blob)), "image/jpeg", 0.85);
  };
  stop = () => {
    going = false;
    socket.close();
    for (const track of stream.getTracks()) track.stop();
    at("camera").setAttribute("aria-pressed", "false");
    at("camera").textContent = "Use the webcam";
  };
  socket.onopen = send;
  socket.onmessage = ({ data }) => {
    if (!going) return;
    const found = JSON.parse(data);
    if (found.error) say(found.error, true);
    else {
      faces = found.faces ? new Uint32Array(bytes(found.faces).buffer) : faces;
      for (const name of ["seen", "space", "numbers"]) at(name).hidden = false;
      paint(sheet, found.width, found.height, found, faces);
      latency = performance.now() - sent;
      document.body.dataset.latency = latency.toFixed(1);
      list(found.hands);
      table(chosen(found.hands));
      space3d().show(found.hands, faces, found.bones, true);
      say(`${count(found.hands)} ${latency.toFixed(0)} ms from frame to joints.`);
    }
    send();
  };
  socket.onclose = () => {
    if (going) {
      stop();
      say("The server hung up.", true);
    }
  };
}

async function take(file) {
  reset();
  try {
    await (file.type.startsWith("video/") ? clip(file) : /\.zip$/i.test(file.name) ? folder(file) : picture(file));
  } catch (error) {
    say(error.message[0].toUpperCase() + error.message.slice(1) + ".", true);
  }
}

at("file").addEventListener("change", () => at("file").files[0] && take(at("file").files[0]));
at("camera").addEventListener("click", () => (at("camera").getAttribute("aria-pressed") === "true" ? (reset(), say("The webcam is off.")) : webcam()));
for (const name of ["hand", "angle", "surface"]) at(name).addEventListener("change", () => shown?.());
for (const kind of ["dragenter", "dragover"])
  addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.add("over");
  });
addEventListener("dragleave", (event) => event.relatedTarget ?? at("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
});
