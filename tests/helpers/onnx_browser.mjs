// node run.mjs FOLDER_OF_NODE_MODULES MODELS MJS PICTURE... : prints a list of findHands' results, one a picture
import http from "http"; import fs from "fs"; import path from "path"; import { createRequire } from "module";
const [modules, models, script, ...pictures] = process.argv.slice(2);
const { chromium } = createRequire(path.join(path.resolve(modules), "x.js"))("playwright-core");
const dist = path.join(modules, "onnxruntime-web", "dist");
const kinds = { ".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm", ".json": "application/json", ".html": "text/html" };
const server = http.createServer((request, answer) => {
  const url = new URL(request.url, "http://x").pathname;
  const file = url === "/" ? null : url.startsWith("/models/") ? path.join(models, url.slice(8)) : url.startsWith("/ort/") ? path.join(dist, url.slice(5)) : url.startsWith("/picture/") ? pictures[+url.slice(9)] : script;
  answer.setHeader("content-type", kinds[file ? path.extname(file) : ".html"] ?? "application/octet-stream");
  answer.end(file ? fs.readFileSync(file) : "<!doctype html><title>hands</title>");
}).listen(0, "127.0.0.1");
await new Promise((done) => server.on("listening", done));
const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: flags });
const page = await browser.newPage();
await page.goto(`http://127.0.0.1:${server.address().port}/`);
const found = await page.evaluate(async (count) => {
  const ort = await import("/ort/ort.min.mjs"), { findHands } = await import("/hands.mjs");
  ort.env.wasm.numThreads = 1; ort.env.wasm.wasmPaths = "/ort/";
  const all = [];
  for (let k = 0; k < count; k++) {
    const bitmap = await createImageBitmap(await (await fetch(`/picture/${k}`)).blob());
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height), context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    all.push(await findHands(ort, "/models", context.getImageData(0, 0, bitmap.width, bitmap.height)));
  }
  return all;
}, pictures.length);
console.log(JSON.stringify(found));
await browser.close(); server.close();
