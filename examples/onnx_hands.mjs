// From a picture to joints by the ONNX files alone, in a browser: onnxruntime-web, and nothing of Phalanx. `onnx_hands.py` does the same.
//
//     phalanx export onnx --out models
//     npm install onnxruntime-web        (serve its dist folder beside this file)
//
//     import * as ort from "./ort.min.mjs"; import { findHands } from "./onnx_hands.mjs";
//     const hands = await findHands(ort, "models", imageData);     // ImageData of a canvas, RGBA
//
// Of each hand: side, score, 21 joints in pixels, and their depths behind the middle finger's knuckle, as large as pixels.

const LEAST = 0.5; // score of a hand

// What a matrix, from the result's pixels to the picture's, shows, by means of k x k bilinear samples; planes into `out` of `stride` columns.
function sample({ data, width, height }, [[a, b, c], [d, e, f]], w, h, out, stride, plane) {
  const k = Math.max(1, Math.ceil(Math.hypot(a, d)));
  for (let row = 0; row < h; row++)
    for (let column = 0; column < w; column++) {
      const sums = [0, 0, 0];
      for (let i = 0; i < k; i++)
        for (let j = 0; j < k; j++) {
          const x = column + (j + 0.5) / k - 0.5, y = row + (i + 0.5) / k - 0.5;
          const u = Math.min(Math.max(a * x + b * y + c, 0), width - 1), v = Math.min(Math.max(d * x + e * y + f, 0), height - 1);
          const left = Math.min(Math.floor(u), width - 2), top = Math.min(Math.floor(v), height - 2);
          const s = u - left, t = v - top, at = 4 * (top * width + left), below = at + 4 * width;
          for (let channel = 0; channel < 3; channel++)
            sums[channel] +=
              (data[at + channel] * (1 - s) + data[at + 4 + channel] * s) * (1 - t) +
              (data[below + channel] * (1 - s) + data[below + 4 + channel] * s) * t;
        }
      for (let channel = 0; channel < 3; channel++) out[channel * plane + row * stride + column] = sums[channel] / (k * k * 255);
    }
}

// From the pixels of a square, mirrored or not, to the picture's.
function squareMatrix([x, y, side, angle], size, flip) {
  const cosine = (side / size) * Math.cos(angle), sine = (side / size) * Math.sin(angle), middle = (size - 1) / 2, sign = flip ? -1 : 1;
  return [
    [sign * cosine, -sine, x - (sign * cosine - sine) * middle],
    [sign * sine, cosine, y - (sign * sine + cosine) * middle],
  ];
}

// Score, log-odds of a right hand, and square of each hand that the detector's maps show, surest first.
function peaks(maps, [, , rows, columns], scale, { calibration, stride, unit, largest }) {
  const at = (channel, row, column) => maps[(channel * rows + row) * columns + column];
  const found = [];
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const logit = at(0, row, column), score = 1 / (1 + Math.exp(-(calibration[0] * logit + calibration[1])));
      let highest = score >= LEAST;
      for (let i = Math.max(row - 1, 0); highest && i <= Math.min(row + 1, rows - 1); i++)
        for (let j = Math.max(column - 1, 0); j <= Math.min(column + 1, columns - 1); j++) highest &&= at(0, i, j) <= logit;
      if (!highest) continue;
      const x = (column + 0.5) * stride + unit * at(6, row, column), y = (row + 0.5) * stride + unit * at(7, row, column);
      const side = unit * Math.exp(Math.min(at(8, row, column), Math.log(largest)));
      const angle = Math.atan2(at(10, row, column), at(9, row, column));
      found.push({ score, odds: at(1, row, column), square: [scale * x - 0.5, scale * y - 0.5, scale * side, angle] });
    }
  found.sort((a, b) => b.score - a.score);
  const kept = []; // the surest of those whose middles nearly agree
  for (const hand of found) {
    const far = ({ square: [x, y, side] }) => Math.hypot(hand.square[0] - x, hand.square[1] - y) > 0.15 * side;
    if (kept.every(far)) kept.push(hand);
  }
  return kept;
}

// The square around joints in which the hand points up.
function around(joints, factor, width, height) {
  const knuckles = [5, 9, 13, 17].map((k) => joints[k]), mean = (axis) => knuckles.reduce((sum, joint) => sum + joint[axis], 0) / 4;
  const angle = Math.atan2(mean(0) - joints[0][0], joints[0][1] - mean(1)), c = Math.cos(angle), s = Math.sin(angle);
  const inside = joints.map(([x, y]) => [Math.min(Math.max(x, 0), width - 1), Math.min(Math.max(y, 0), height - 1)]);
  const x = inside.map(([a, b]) => c * a + s * b), y = inside.map(([a, b]) => c * b - s * a);
  const [left, right, top, lower] = [Math.min(...x), Math.max(...x), Math.min(...y), Math.max(...y)];
  const u = (left + right) / 2, v = (top + lower) / 2;
  return [c * u - s * v, s * u + c * v, factor * Math.max(right - left, lower - top), angle];
}

export async function findHands(ort, folder, image) {
  const about = await (await fetch(`${folder}/models.json`)).json(), { detector, estimator } = about;
  const open = ({ file }) => ort.InferenceSession.create(`${folder}/${file}`, { executionProviders: ["wasm"] });
  const [detect, estimate] = await Promise.all([open(detector), open(estimator)]);
  const { width, height } = image, size = estimator.size, scale = Math.max(width, height) / detector.sides[0];
  const w = Math.round(width / scale), h = Math.round(height / scale);
  const columns = Math.ceil(w / detector.multiple) * detector.multiple, rows = Math.ceil(h / detector.multiple) * detector.multiple;
  const look = new Float32Array(3 * rows * columns), shift = (scale - 1) / 2;
  sample(image, [[scale, 0, shift], [0, scale, shift]], w, h, look, columns, rows * columns);
  const { maps } = await detect.run({ images: new ort.Tensor("float32", look, [1, 3, rows, columns]) });
  // Joints in the picture, depths in pixels, and log-odds of a right hand in the square, mirrored if it is a left one's.
  const seen = async (square, left) => {
    const [[a, b, c], [d, e, f]] = squareMatrix(square, size, left), crop = new Float32Array(3 * size * size);
    sample(image, [[a, b, c], [d, e, f]], size, size, crop, size, size * size);
    const outputs = await estimate.run({ images: new ort.Tensor("float32", crop, [1, 3, size, size]) });
    const places = outputs.joints_2d.data;
    const joints = Array.from({ length: 21 }, (_, k) => {
      const x = places[2 * k] * size - 0.5, y = places[2 * k + 1] * size - 0.5; // pixels of the square
      return [a * x + b * y + c, d * x + e * y + f];
    });
    return { joints, depth: Array.from(outputs.depth.data, (value) => value * square[2]), right: outputs.right.data[0] };
  };
  const hands = [];
  for (const { score, odds, square } of peaks(maps.data, maps.dims, scale, detector)) {
    const left = odds + (await seen(square, false)).right < (await seen(square, true)).right;
    const closer = around((await seen(square, left)).joints, estimator.closer, width, height);
    const { joints, depth } = await seen(closer, left);
    hands.push({ side: left ? "left" : "right", score, joints, depth });
  }
  return hands;
}
