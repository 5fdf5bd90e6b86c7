// The live page: its controls, its pictures and what it says of them. `engine.js` has the networks.
//
// Nothing is loaded before the reader asks. Then two models come as scripts, are checked against the sums that
// the page holds, and each goes to a worker of its own. A change of a control after that draws anew.

"use strict";

window.LIVE = {}; // where the scripts of the models put their texts

(() => {
  const root = document.getElementById("live"), models = JSON.parse(document.getElementById("live-models").textContent);
  const form = root.querySelector("form"), said = root.querySelector(".said"), details = root.querySelector(".details");
  const button = form.querySelector("button[type=submit]"), progress = root.querySelector("progress");
  const stamp = root.querySelector(".stamp");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const spaced = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, "\u00a0"); // 4 000
  const folder = document.currentScript.src.replace(/[^/]*$/, ""); // where the models lie
  let engine = null, loaded = null, asked = 0;

  // ---------------------------------------------------------------- what is chosen

  const among = (found) => [...new Set(found)];
  const options = (select, values, text) => select.replaceChildren(...values.map((v) => new Option(text(v), v)));

  /** The two models of the family and the N that are chosen. */
  function pair() {
    const { family, N } = form.elements;
    return "AB".split("").map((half) =>
      models.find((m) => m.family === family.value && String(m.N) === N.value && m.half === half));
  }

  /** The sizes of the family that is chosen, of which the end that was chosen before stays so. */
  function sizes() {
    const { family, N } = form.elements, smallest = N.selectedIndex === 0 && N.length > 1;
    options(N, among(models.filter((m) => m.family === family.value).map((m) => m.N)), (n) => `N = ${spaced(n)}`);
    N.selectedIndex = smallest ? 0 : N.length - 1;
  }

  /** What the button does, in words: what it loads, or that all is there; and whose models these are. */
  function offer() {
    stamp.textContent = pair()[0].stamp;
    stamp.hidden = !stamp.textContent;
    const files = pair().flatMap((m) => [m, ...(m.images ? [m.images] : [])]);
    const megabytes = files.reduce((sum, file) => sum + file.bytes, 0) / 1e6;
    const there = loaded && loaded.pair.every((m, k) => m === pair()[k]);
    button.textContent = there ? "Generate again" : `Generate (loads ${megabytes.toFixed(1)} MB)`;
  }

  const seed = (name) => Math.max(0, Math.min(999999, Math.floor(Number(form.elements[name].value)) || 0));

  // ---------------------------------------------------------------- what is loaded

  /** Add a script of the folder to the page, and wait for it. */
  function script(file) {
    return new Promise((done, failed) => {
      const added = Object.assign(document.createElement("script"), { src: `${folder}${file}.js`, onload: done });
      added.onerror = () => failed(new Error(`The file live/${file}.js is missing.`));
      document.head.append(added);
      added.addEventListener("load", () => added.remove());
    });
  }

  /** The text that a model's script has handed over; it is not kept. */
  async function text(file) {
    await script(file);
    const found = LIVE[file];
    delete LIVE[file];
    return found ?? "";
  }

  /** Load two models, each into a worker of its own, and the galaxies that they were trained on. */
  async function load(wanted) {
    if (!engine) {
      await script("engine");
      engine = galgenEngine();
    }
    loaded?.workers.forEach((worker) => worker.terminate());
    loaded = null;
    const address = URL.createObjectURL(new Blob([`"use strict"; (${galgenEngine})();`]));
    const workers = [], average = await Promise.all(wanted.map(async (told, k) => {
      const base64 = await text(told.file);
      return new Promise((done, failed) => {
        workers[k] = new Worker(address);
        workers[k].onerror = () => failed(new Error("This browser does not start workers for this page."));
        workers[k].onmessage = ({ data }) => (data.refused ? failed(new Error(data.refused)) : done(data.average));
        workers[k].postMessage({ told, base64 });
      });
    }));
    const galaxies = await Promise.all(wanted.map(async ({ images }) =>
      images ? engine.checked(images, await text(images.file)) : null));
    return { pair: wanted, workers, average: average[0], galaxies };
  }

  // ---------------------------------------------------------------- how alike two images are

  /** Means over 2 x 2 pixels as long as 16 are left a side: how training images come. */
  function small(image) {
    const n = Math.sqrt(image.length), m = n / 2;
    if (n < 32 || n % 2) return Float32Array.from(image);
    return small(Float32Array.from({ length: m * m }, (_, j) => {
      const at = 2 * ((j / m) | 0) * n + 2 * (j % m);
      return (image[at] + image[at + 1] + image[at + n] + image[at + n + 1]) / 4;
    }));
  }

  const dot = (a, b) => a.reduce((sum, value, j) => sum + value * b[j], 0);
  const unit = (x) => ((length) => x.map((value) => value / (length || 1)))(Math.sqrt(dot(x, x)));
  const centred = (x) => ((mean) => x.map((value) => value - mean))(x.reduce((a, b) => a + b, 0) / x.length);

  /** What is left of an image, of length 1, without a constant and without the mean galaxy. */
  function anomaly(image, average) {
    const [shape, x] = [average, image].map((given) => unit(centred(Float64Array.from(given)))), part = dot(x, shape);
    return unit(x.map((value, j) => value - part * shape[j]));
  }

  /** The nearest of the galaxies (bytes) to an image: its cosine, pixels, and whether it is a copy, d1 / d2 < 1/3. */
  function nearest(image, galaxies, average) {
    const own = small(image), mean = small(average), wanted = anomaly(own, mean), size = own.length;
    const cosine = Array.from({ length: galaxies.length / size }, (_, i) =>
      dot(wanted, anomaly(galaxies.subarray(i * size, (i + 1) * size), mean)));
    const order = [...cosine.keys()].sort((i, j) => cosine[j] - cosine[i]);
    const [first, second] = order.slice(0, 2).map((i) => Math.sqrt(Math.max(0, 2 - 2 * cosine[i])));
    const pixels = Float32Array.from(galaxies.subarray(order[0] * size, (order[0] + 1) * size), (byte) => byte / 255);
    return { cosine: cosine[order[0]], pixels, copy: first < second / 3 };
  }

  // ---------------------------------------------------------------- what is shown

  /** Paint an image of floats, black at 0 and white at 1, and say what it is. */
  function paint(name, image, label) {
    const canvas = root.querySelector(`canvas[data-name="${name}"]`), n = Math.sqrt(image.length);
    const picture = new ImageData(n, n);
    image.forEach((value, j) => picture.data.set([value * 255, value * 255, value * 255, 255], 4 * j));
    [canvas.width, canvas.height] = [n, n];
    canvas.getContext("2d").putImageData(picture, 0, 0);
    canvas.setAttribute("aria-label", label);
  }

  const figure = (half) => root.querySelector(`[data-figure="near ${half}"]`);
  const note = (name, words) => (root.querySelector(`[data-note="${name}"]`).textContent = words);

  /** One step of both walks: the images on their way, and how alike what they would be denoised to is. */
  function show(frames, steps) {
    progress.value = frames[0].step + 1;
    frames.forEach(({ y, sigma, step }, k) => {
      const label = step + 1 < steps ? `step ${step + 1} of ${steps}` : "sample";
      paint("AB"[k], y.map((value) => 0.5 + (value - 0.5) / (1 + 4 * sigma)), `model ${"AB"[k]}: ${label}`);
    });
    const cosine = dot(...frames.map(({ denoised }) => anomaly(denoised, loaded.average)));
    const left = frames[0].sigma ? `, remaining noise σ = ${frames[0].sigma.toPrecision(2)}` : "";
    note("cosine", `cosine of A and B: ${cosine.toFixed(2)}${left}`);
    return cosine;
  }

  /** What is seen, in a sentence or two. */
  function sentence(cosine, near, alike) {
    const both = `A and B have a cosine of ${cosine.toFixed(2)}`;
    if (!near[0]) return `${both}; identical galaxies have 1, unrelated ones about 0.`;
    const copies = "AB".split("").filter((_, k) => near[k].copy);
    if (copies.length === 2) {
      return `From one latent, each model returned a near-copy of one of its training images, and these are different galaxies: ${both}.`;
    }
    if (copies.length) {
      return `Model ${copies[0]} returned a near-copy of a training image, the other model did not. ${both}.`;
    }
    if (alike > Math.max(near[0].cosine, near[1].cosine)) {
      return `Two models with disjoint training sets generated ${cosine < 0.95 ? "different galaxies" : "nearly the same galaxy"}, and neither is a near-copy: ${both}, `
        + "and each sample is more similar to the other than to any of its training images.";
    }
    const which = near.every((found) => found.cosine >= alike) ? "each sample is" : "one sample is";
    return `Neither is a near-copy: ${both}; ${which} at least as similar to a training image as to the other sample.`;
  }

  /** The end of a walk: the nearest training images, and the sentence. */
  function conclude(images, cosine, seconds) {
    const near = images.map((image, k) => loaded.galaxies[k] && nearest(image, loaded.galaxies[k], loaded.average));
    near.forEach((found, k) => {
      const half = "AB"[k], n = spaced(loaded.pair[k].N);
      figure(half).hidden = !found;
      if (!found) return;
      figure(half).style.visibility = "";
      paint(`near ${half}`, found.pixels, `nearest of the ${n} training images of ${half}`);
      const kind = found.copy ? "near-copy" : "no near-copy";
      note(`near ${half}`, `nearest training image of ${half} (of ${n}): ${found.cosine.toFixed(2)}, ${kind}`);
    });
    const alike = dot(...images.map((image) => anomaly(small(image), small(loaded.average))));
    said.textContent = sentence(cosine, near, alike);
    const names = loaded.pair.map(({ half, file, stamp, commit, made }) =>
      `${half}: ${file}, ${stamp ? "published" : "trained by this run"}, commit ${commit}, ${made}.`);
    const { profile, data, levels } = loaded.pair[0];
    details.textContent = `${names.join(" ")} Profile ${profile}, data ${data}`
      + `${near[0] ? "" : ", which are not in this book"}. ${levels.length} calls of each in ${seconds.toFixed(1)} s.`;
    root.dataset.seconds = seconds;
  }

  // ---------------------------------------------------------------- what happens

  async function draw() {
    const number = ++asked, wanted = pair();
    root.removeAttribute("data-seconds");
    try {
      if (!loaded || loaded.pair.some((m, k) => m !== wanted[k])) {
        said.textContent = "Loading two models.";
        const found = await load(wanted);
        if (number !== asked) return found.workers.forEach((worker) => worker.terminate());
        loaded = found;
      }
    } catch (error) {
      if (number === asked) said.textContent = error.message;
      return offer();
    }
    offer();
    const { first, side, levels } = wanted[0], steps = levels.length;
    const [from, to] = ["seed", "other"].map((name) => first + seed(name));
    const z = engine.between(from, to, Number(form.elements.turned.value), side ** 2);
    paint("noise", z.map((value) => 0.5 + value / 5), "latent of both models");
    progress.max = steps;
    said.textContent = "Drawing.";
    wanted.forEach(({ half, N }) => {
      note(half, `model ${half}, N = ${spaced(N)}`);
      figure(half).style.visibility = "hidden"; // it keeps its room
    });
    const frames = [[], []], began = performance.now();
    loaded.workers.forEach((worker, k) => {
      worker.onmessage = ({ data }) => {
        if (number !== asked || data.number !== number) return;
        frames[k].push(data);
        const other = frames[1 - k][data.step], last = data.step + 1 === steps;
        if (!other || (still.matches && !last)) return;
        const both = k ? [other, data] : [data, other], cosine = show(both, steps);
        if (last) conclude(both.map(({ y }) => y), cosine, (performance.now() - began) / 1000);
      };
      worker.postMessage({ z, number });
    });
  }

  if (!models.length) {
    said.textContent = "No denoiser is trained or published that fits into this page.";
    return;
  }
  options(form.elements.family, among(models.map((m) => m.family)), (family) => {
    const { label, inputs } = models.find((m) => m.family === family);
    return `${label}, ${inputs > 1 ? "noise-conditional" : "blind"}`;
  });
  sizes();
  offer();
  form.hidden = false;
  form.elements.family.addEventListener("change", sizes);
  form.elements.another.addEventListener("click", () => {
    form.elements.seed.value = Math.floor(Math.random() * 1000000);
    form.elements.turned.value = 0;
    draw();
  });
  form.addEventListener("submit", (event) => (event.preventDefault(), draw()));
  form.addEventListener("change", () => (loaded ? draw() : offer()));
})();
