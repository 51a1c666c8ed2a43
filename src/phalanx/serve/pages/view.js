// What is drawn: joints and surfaces on the picture, the hands in 3D, an angle over time.

import * as THREE from "./three.module.min.js";
import { OrbitControls } from "./OrbitControls.js";

export const COLOURS = ["#e4572e", "#17a398", "#7b5ea7", "#e6a800", "#2e86de", "#c2185b", "#5a9e2f", "#8d6e63"];

export function floats(text) {
  return new Float32Array(bytes(text).buffer);
}

export function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

// Bones and joints of hands in a canvas whose picture is `scale` times the given one.
export function drawJoints(context, hands, bones, scale) {
  hands.forEach((hand, number) => {
    context.strokeStyle = context.fillStyle = COLOURS[(hand.id ?? number) % COLOURS.length];
    context.lineWidth = Math.max(2, context.canvas.width / 320);
    const at = hand.joints_2d.map(([x, y]) => [(x + 0.5) * scale, (y + 0.5) * scale]);
    context.beginPath();
    for (const [a, b] of bones) {
      context.moveTo(...at[a]);
      context.lineTo(...at[b]);
    }
    context.stroke();
    for (const [x, y] of at) {
      context.beginPath();
      context.arc(x, y, context.lineWidth * 1.3, 0, 7);
      context.fill();
    }
    const [x, y] = at[0];
    context.font = `${Math.max(12, context.canvas.width / 45)}px system-ui, sans-serif`;
    context.fillText(`${hand.side}${hand.id === undefined ? ` ${number + 1}` : ` ${hand.id}`}`, x + 6, y + 14);
  });
}

// Surfaces of hands on the picture, by their camera, as thin paint over all of each.
export function drawSurfaces(context, hands, faces, scale) {
  if (!faces) return;
  hands.forEach((hand, number) => {
    if (!hand.vertices) return;
    const points = floats(hand.vertices), [[fx, skew, cx], [, fy, cy]] = hand.K, flat = [];
    for (let k = 0; k < points.length; k += 3) {
      const [x, y, z] = [points[k], points[k + 1], points[k + 2]];
      flat.push([((fx * x + skew * y) / z + cx + 0.5) * scale, ((fy * y) / z + cy + 0.5) * scale, z]);
    }
    context.globalAlpha = 0.35;
    context.fillStyle = COLOURS[(hand.id ?? number) % COLOURS.length];
    context.beginPath();
    for (let k = 0; k < faces.length; k += 3) {
      const [a, b, c] = [flat[faces[k]], flat[faces[k + 1]], flat[faces[k + 2]]];
      if (Math.min(a[2], b[2], c[2]) <= 0.01) continue;
      const ahead = (b[0] - a[0]) * (c[1] - a[1]) > (b[1] - a[1]) * (c[0] - a[0]); // all turn one way, or front and back cancel
      context.moveTo(a[0], a[1]);
      context.lineTo(...(ahead ? b : c).slice(0, 2));
      context.lineTo(...(ahead ? c : b).slice(0, 2));
    }
    context.fill("nonzero");
    context.globalAlpha = 1;
  });
}

// The hands in 3D, to be turned.
export class Space {
  constructor(canvas) {
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true, alpha: true, preserveDrawingBuffer: true });
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(40, 1, 0.005, 20);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.listenToKeyEvents(canvas);
    this.controls.keys = { LEFT: "", UP: "", RIGHT: "", BOTTOM: "" };
    canvas.addEventListener("keydown", (event) => this.turn(event));
    this.scene.add(new THREE.HemisphereLight(0xffffff, 0x555566, 2.2));
    const light = new THREE.DirectionalLight(0xffffff, 2);
    light.position.set(0.5, 1, 1.5);
    this.scene.add(light);
    this.hands = new THREE.Group();
    this.scene.add(this.hands);
    this.placed = false;
    this.controls.addEventListener("change", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  turn(event) {
    const step = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, -0.15], ArrowDown: [0, 0.15] }[event.key];
    if (!step) return;
    event.preventDefault();
    const offset = this.camera.position.clone().sub(this.controls.target), ball = new THREE.Spherical().setFromVector3(offset);
    ball.theta += step[0];
    ball.phi = Math.min(Math.max(ball.phi + step[1], 0.1), Math.PI - 0.1);
    this.camera.position.copy(this.controls.target).add(offset.setFromSpherical(ball));
    this.controls.update();
    this.draw();
  }

  // y and z of the picture's camera are turned to three's, which looks along -z with y up.
  show(hands, faces, bones, follow) {
    for (const old of this.hands.children) old.geometry.dispose();
    this.hands.clear();
    hands.forEach((hand, number) => {
      const colour = COLOURS[(hand.id ?? number) % COLOURS.length];
      const turned = (points) => Float32Array.from(points, (value, k) => (k % 3 ? -value : value));
      if (hand.vertices && faces) {
        const geometry = new THREE.BufferGeometry();
        geometry.setAttribute("position", new THREE.BufferAttribute(turned(floats(hand.vertices)), 3));
        geometry.setIndex(new THREE.BufferAttribute(faces, 1));
        geometry.computeVertexNormals();
        this.hands.add(new THREE.Mesh(geometry, new THREE.MeshStandardMaterial({ color: colour, roughness: 0.7, side: THREE.DoubleSide })));
      } else {
        const ends = bones.flatMap(([a, b]) => [...hand.joints[a], ...hand.joints[b]]), geometry = new THREE.BufferGeometry();
        geometry.setAttribute("position", new THREE.BufferAttribute(turned(ends), 3));
        this.hands.add(new THREE.LineSegments(geometry, new THREE.LineBasicMaterial({ color: colour })));
      }
    });
    if (hands.length && (!this.placed || !follow || this.strayed(hands))) this.place(hands);
    this.draw();
  }

  extent(hands) {
    const box = new THREE.Box3();
    for (const hand of hands) for (const [x, y, z] of hand.joints) box.expandByPoint(new THREE.Vector3(x, -y, -z));
    return { middle: box.getCenter(new THREE.Vector3()), size: Math.max(box.getSize(new THREE.Vector3()).length(), 0.1) };
  }

  strayed(hands) {
    const { middle, size } = this.extent(hands);
    return middle.distanceTo(this.controls.target) > 0.6 * size || size > 0.9 * this.camera.position.distanceTo(this.controls.target);
  }

  place(hands) {
    const { middle, size } = this.extent(hands);
    this.controls.target.copy(middle);
    this.camera.position.copy(middle).add(new THREE.Vector3(0.25, 0.15, 1).normalize().multiplyScalar(1.5 * size));
    this.controls.update();
    this.placed = true;
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.renderer.domElement;
    if (!width || !height) return;
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.renderer.render(this.scene, this.camera);
  }
}

// Values over time, each [seconds, degrees], and where `now` is.
export function drawPlot(canvas, values, now) {
  const context = canvas.getContext("2d"), { width, height } = canvas, style = getComputedStyle(canvas);
  context.clearRect(0, 0, width, height);
  context.fillStyle = context.strokeStyle = style.color;
  context.font = "13px system-ui, sans-serif";
  if (values.length < 2) return;
  const times = values.map(([t]) => t), angles = values.map(([, a]) => a);
  const [from, to] = [times[0], times[times.length - 1]], low = Math.min(0, ...angles), high = Math.max(low + 10, ...angles);
  const x = (t) => 44 + ((t - from) / Math.max(to - from, 1e-6)) * (width - 54), y = (a) => height - 24 - ((a - low) / (high - low)) * (height - 40);
  context.globalAlpha = 0.4;
  for (const a of [low, (low + high) / 2, high]) {
    context.fillText(`${Math.round(a)}°`, 4, y(a) + 4);
    context.beginPath();
    context.moveTo(44, y(a));
    context.lineTo(width - 10, y(a));
    context.stroke();
  }
  context.fillText(`${from.toFixed(1)} s`, 44, height - 6);
  context.fillText(`${to.toFixed(1)} s`, width - 46, height - 6);
  context.globalAlpha = 1;
  context.strokeStyle = COLOURS[4];
  context.lineWidth = 2;
  context.beginPath();
  values.forEach(([t, a], k) => (k ? context.lineTo(x(t), y(a)) : context.moveTo(x(t), y(a))));
  context.stroke();
  if (now === null) return;
  context.strokeStyle = style.color;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(x(now), 10);
  context.lineTo(x(now), height - 24);
  context.stroke();
}
