// node serve_browser.mjs MODULES ADDRESS PICTURE FRAMES.mjpeg OUT: uses the page as people do, and prints what it saw as JSON.
import path from "path";
import { createRequire } from "module";
const [modules, address, picture, frames, out] = process.argv.slice(2);
const { chromium } = createRequire(path.join(path.resolve(modules), "x.js"))("playwright-core");
const flags = ["--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
  "--disable-sync", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--use-fake-ui-for-media-stream",
  "--use-fake-device-for-media-stream", `--use-file-for-fake-video-capture=${frames}`];
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: flags });
const seen = { errors: [] };
const looks = { wide: { viewport: { width: 1200, height: 900 } }, phone: { viewport: { width: 390, height: 844 }, colorScheme: "dark" } };
for (const [name, options] of Object.entries(looks)) {
  const context = await browser.newContext({ ...options, permissions: ["camera"] }), page = await context.newPage();
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));
  await page.goto(address);
  await page.setInputFiles("#file", picture);
  await page.waitForSelector("#files a");
  // Pixels of the 3D view that are painted, before and after it is turned by the keyboard.
  const painted = () => page.evaluate(() => {
    const view = document.getElementById("turned"), copy = document.createElement("canvas");
    [copy.width, copy.height] = [view.width, view.height];
    copy.getContext("2d").drawImage(view, 0, 0);
    const { data } = copy.getContext("2d").getImageData(0, 0, copy.width, copy.height);
    let count = 0, sum = 0;
    for (let k = 3; k < data.length; k += 4) if (data[k]) (count++, (sum = (sum + k) % 1e9));
    return [count, sum];
  });
  await page.waitForTimeout(500);
  const before = await painted();
  await page.focus("#turned");
  for (let k = 0; k < 4; k++) await page.keyboard.press("ArrowRight");
  const after = await painted();
  const wide = await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
  const named = await page.$$eval("input, button, select, canvas", (all) => all.every((each) => each.labels?.length || each.ariaLabel || each.textContent));
  seen[name] = { state: await page.textContent("#state"), files: await page.$$eval("#files a", (links) => links.map((link) => link.download)), before, after, wide, named };
  await page.screenshot({ path: `${out}/${name}.png`, fullPage: true });
  if (name === "wide") {
    await page.click("#camera");
    await page.waitForFunction(() => document.body.dataset.latency, null, { timeout: 60000 });
    const spent = await page.evaluate(() => new Promise((done) => {
      const all = [], watch = new MutationObserver(() => all.push(+document.body.dataset.latency) === 40 && done(all));
      watch.observe(document.body, { attributes: true });
      setTimeout(() => done(all), 20000);
    }));
    seen.latency = spent.sort((a, b) => a - b)[spent.length >> 1]; // milliseconds from a frame sent to its joints drawn
    seen.webcam = await page.textContent("#state");
    await page.click("#camera");
    seen.off = await page.textContent("#state");
  }
  await context.close();
}
await browser.close();
console.log(JSON.stringify(seen));
