// The engine of the live page: two denoisers and their sampler, in plain loops, for a reader to follow.
//
// A page opened from disk may start a worker only from a blob, so this file is one function, whose own text the
// page hands to the worker. It knows what galgen/models/{unet,diffusion,conditional,sampling}.py know: torch's
// noise of a seed, the bias-free U-Net, and the probability flow by DPM-Solver++(2M).
//
// Why not a library? ONNX Runtime Web 1.30 brings 14 MB of WebAssembly, which a page without a server loads by a
// trick only, and jax-js 0.1.25 is 0.6 MB of modules that would have to be bundled. For six operators and 1 MB of
// weights these loops are shorter than what would join either to the page, and draw two galaxies in a second or two.
//
// A map of C channels and n x n pixels is a Float32Array (C, n + 2, n + 2) whose border stays 0.

"use strict";

function galgenEngine() {
  // ---------------------------------------------------------------- what is read from a file

  /** The bytes of a text in base64. */
  function bytesOf(base64) {
    const text = atob(base64), bytes = new Uint8Array(text.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
    return bytes;
  }

  /** SHA-256 (FIPS 180-4), in hexadecimal: crypto.subtle is there only where a browser trusts the address. */
  function sha256(bytes) {
    const primes = [], fraction = (x) => ((x - Math.floor(x)) * 2 ** 32) | 0;
    for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n);
    const K = Int32Array.from(primes, (p) => fraction(Math.cbrt(p)));
    const H = Int32Array.from(primes.slice(0, 8), (p) => fraction(Math.sqrt(p)));
    const padded = new Uint8Array(((bytes.length + 72) >> 6) << 6), W = new Int32Array(64);
    padded.set(bytes), (padded[bytes.length] = 128);
    const view = new DataView(padded.buffer);
    view.setBigUint64(padded.length - 8, BigInt(8 * bytes.length));
    const turn = (x, i, j, k) => ((x >>> i) | (x << (32 - i))) ^ ((x >>> j) | (x << (32 - j))) ^ k;
    const turned = (x, i, j, k) => turn(x, i, j, (x >>> k) | (x << (32 - k)));
    for (let block = 0; block < padded.length; block += 64) {
      for (let t = 0; t < 16; t++) W[t] = view.getInt32(block + 4 * t);
      for (let t = 16; t < 64; t++) {
        const x = W[t - 15], y = W[t - 2];
        W[t] = W[t - 16] + turn(x, 7, 18, x >>> 3) + W[t - 7] + turn(y, 17, 19, y >>> 10);
      }
      let [a, b, c, d, e, f, g, h] = H;
      for (let t = 0; t < 64; t++) {
        const one = (h + turned(e, 6, 11, 25) + ((e & f) ^ (~e & g)) + K[t] + W[t]) | 0;
        const two = turned(a, 2, 13, 22) + ((a & b) ^ (a & c) ^ (b & c));
        h = g, g = f, f = e, e = (d + one) | 0, d = c, c = b, b = a, a = (one + two) | 0;
      }
      [a, b, c, d, e, f, g, h].forEach((x, i) => (H[i] += x));
    }
    return Array.from(H, (x) => (x >>> 0).toString(16).padStart(8, "0")).join("");
  }

  /** The bytes of a file, if they are those that the page was made with. */
  function checked(file, base64) {
    const bytes = bytesOf(base64);
    if (sha256(bytes) !== file.sha256) {
      throw new Error(`${file.file} is not the file this book was made with (its SHA-256 differs), and is not used.`);
    }
    return bytes;
  }

  /** Numbers of half precision, 1 + 5 + 10 bits, as floats: Float16Array is not everywhere. */
  function fromHalves(bits) {
    const floats = new Float32Array(bits.length);
    for (let i = 0; i < bits.length; i++) {
      const exponent = (bits[i] >> 10) & 31, fraction = bits[i] & 1023;
      const size = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
      floats[i] = bits[i] & 0x8000 ? -size : size;
    }
    return floats;
  }

  // ---------------------------------------------------------------- noise

  /** What torch.randn draws on the CPU after manual_seed(seed): count unit normal numbers, in sixteens. */
  function noise(seed, count) {
    const state = new Uint32Array(624); // MT19937 (Matsumoto & Nishimura 1998)
    state[0] = seed;
    for (let i = 1; i < 624; i++) {
      const x = state[i - 1] ^ (state[i - 1] >>> 30);
      state[i] = Math.imul(x, 1812433253) + i;
    }
    let next = 624;
    function uniform() { // 24 bits of 32, in [0, 1)
      if (next === 624) {
        for (let i = 0; i < 624; i++) {
          const y = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
          state[i] = state[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
        }
        next = 0;
      }
      let y = state[next++];
      y ^= y >>> 11, y ^= (y << 7) & 0x9d2c5680;
      y ^= (y << 15) & 0xefc60000, y ^= y >>> 18;
      return (y & 0xffffff) / 2 ** 24;
    }
    const z = Float32Array.from({ length: count }, uniform);
    for (let i = 0; i < count; i += 16) { // Box and Muller: the first eight are radii, the others angles
      for (let j = i; j < i + 8; j++) {
        const radius = Math.sqrt(-2 * Math.log(1 - z[j])), angle = 2 * Math.PI * z[j + 8];
        z[j] = radius * Math.cos(angle);
        z[j + 8] = radius * Math.sin(angle);
      }
    }
    return z;
  }

  /** A point of the great circle from one seed's noise to another's: as likely as either, unlike a mean. */
  function between(first, second, turned, count) {
    const z = noise(first, count);
    if (!turned) return z;
    const other = noise(second, count), angle = (turned * Math.PI) / 2;
    return z.map((value, i) => Math.cos(angle) * value + Math.sin(angle) * other[i]);
  }

  // ---------------------------------------------------------------- the six operators of the network

  /** Convolution 3 x 3 of x (cin, n, n) into the first channels of y (cout, n, n), times a gain a channel; ReLU.
   *  Two output channels share what is read of x, and three columns of it stay at hand from pixel to pixel. */
  function convolve(x, y, { weights: w, cin, cout, relu }, gains, n) {
    const s = n + 2, plane = s * s, P = new Float32Array(n * n), Q = new Float32Array(n * n);
    for (let o = 0; o < cout; o += 2) {
      const last = Math.min(o + 1, cout - 1);
      P.fill(0), Q.fill(0);
      for (let i = 0; i < cin; i++) {
        const k = 9 * (o * cin + i), l = 9 * (last * cin + i);
        const p0 = w[k], p1 = w[k + 1], p2 = w[k + 2], p3 = w[k + 3], p4 = w[k + 4], p5 = w[k + 5];
        const p6 = w[k + 6], p7 = w[k + 7], p8 = w[k + 8], q0 = w[l], q1 = w[l + 1], q2 = w[l + 2];
        const q3 = w[l + 3], q4 = w[l + 4], q5 = w[l + 5], q6 = w[l + 6], q7 = w[l + 7], q8 = w[l + 8];
        for (let row = 0; row < n; row++) {
          let at = i * plane + row * s, to = row * n;
          let a0 = x[at], a1 = x[at + 1], b0 = x[at + s], b1 = x[at + s + 1], c0 = x[at + 2 * s];
          let c1 = x[at + 2 * s + 1];
          for (let end = to + n; to < end; to++, at++) {
            const a2 = x[at + 2], b2 = x[at + s + 2], c2 = x[at + 2 * s + 2];
            P[to] += p0 * a0 + p1 * a1 + p2 * a2 + p3 * b0 + p4 * b1 + p5 * b2 + p6 * c0 + p7 * c1 + p8 * c2;
            Q[to] += q0 * a0 + q1 * a1 + q2 * a2 + q3 * b0 + q4 * b1 + q5 * b2 + q6 * c0 + q7 * c1 + q8 * c2;
            a0 = a1, a1 = a2, b0 = b1, b1 = b2, c0 = c1, c1 = c2;
          }
        }
      }
      finish(P, y, o * plane, gains[o], relu, n);
      finish(Q, y, last * plane, gains[last], relu, n);
    }
  }

  /** Sums (n, n), times a gain, into a channel of y. */
  function finish(sums, y, channel, gain, relu, n) {
    for (let row = 0, j = 0; row < n; row++) {
      for (let at = channel + (row + 1) * (n + 2) + 1, end = at + n; at < end; at++, j++) {
        y[at] = relu && sums[j] * gain < 0 ? 0 : sums[j] * gain;
      }
    }
  }

  /** Where pixel j of n x n lies in a map with its border. */
  function place(j, n) { return (((j / n) | 0) + 1) * (n + 2) + (j % n) + 1; }

  /** Transposed convolution 2 x 2 of stride 2: x (cin, n, n) into cout channels of y (., 2 n, 2 n) from `first` on. */
  function enlarge(x, y, { weights: w, cin, cout }, first, n) {
    const s = n + 2, t = 2 * n + 2;
    y.fill(0, first * t * t, (first + cout) * t * t);
    for (let o = 0; o < cout; o++) {
      for (let i = 0; i < cin; i++) {
        const k = 4 * (i * cout + o), w0 = w[k], w1 = w[k + 1], w2 = w[k + 2], w3 = w[k + 3];
        for (let row = 0; row < n; row++) {
          let from = (i * s + row + 1) * s + 1, at = ((first + o) * t + 2 * row + 1) * t + 1;
          for (const end = from + n; from < end; from++, at += 2) {
            const value = x[from];
            y[at] += w0 * value, y[at + 1] += w1 * value, y[at + t] += w2 * value, y[at + t + 1] += w3 * value;
          }
        }
      }
    }
  }

  /** Mean over 2 x 2 pixels: the first channels of x (., n, n) into y (channels, n / 2, n / 2). */
  function halve(x, y, channels, n) {
    const s = n + 2, m = n / 2;
    for (let c = 0; c < channels; c++) {
      for (let j = 0; j < m * m; j++) {
        const at = c * s * s + (2 * ((j / m) | 0) + 1) * s + 2 * (j % m) + 1;
        y[c * (m + 2) ** 2 + place(j, m)] = (x[at] + x[at + 1] + x[at + s] + x[at + s + 1]) / 4;
      }
    }
  }

  // ---------------------------------------------------------------- the network and its sampler

  class Denoiser {
    /** From the bytes of a file and what the page tells of it: base_channels, blocks, inputs, side and levels.
     *  The file: weights in halves, layer by layer as they are asked; then, as floats, the image where walks
     *  begin, the mean galaxy, and the gains; of a model that is told the noise, these for each level, then
     *  c_skip, c_out, c_in and u of each, and the mean of its training images. */
    constructor(told, bytes) {
      Object.assign(this, told);
      const { base_channels, blocks, inputs, side } = told, width = (level) => base_channels * 2 ** level;
      this.layers = [[inputs, width(0)], [width(0), width(0)]];
      for (let a = 0; a < blocks; a++) this.layers.push([width(a), width(a + 1)], [width(a + 1), width(a + 1)]);
      for (let a = blocks - 1; a >= 0; a--) {
        this.layers.push([width(a + 1), width(a), 4], [2 * width(a), width(a)], [width(a), a ? width(a) : 1]);
      }
      let at = 0;
      const take = (count) => bytes.slice(at, (at += count)).buffer, floats = (n) => new Float32Array(take(4 * n));
      this.layers = this.layers.map(([cin, cout, taps = 9], k) => {
        const weights = fromHalves(new Uint16Array(take(2 * cin * cout * taps))), relu = cout > 1;
        return { cin, cout, taps, weights, relu, gained: k > 0 && relu && taps === 9, rows: [] };
      });
      [this.start, this.average] = [floats(side ** 2), floats(side ** 2)];
      for (let row = 0; row < (inputs > 1 ? this.levels.length : 1); row++) {
        for (const layer of this.layers) {
          layer.rows.push(layer.gained ? floats(layer.cout) : new Float32Array(layer.cout).fill(1));
        }
      }
      if (inputs > 1) [this.scales, this.mean] = [floats(4 * this.levels.length), floats(side ** 2)];
      if (at !== bytes.length) throw new Error(`${this.file} does not hold the network that the page describes.`);
      const maps = (channels) => Array.from({ length: blocks + 1 }, (_, level) =>
        new Float32Array(channels(level) * (side / 2 ** level + 2) ** 2));
      [this.given, this.inner] = [maps((level) => (level ? width(level - 1) : inputs)), maps(width)];
      this.joined = maps((level) => 2 * width(level)); // what is kept on the way down and, after it, what comes up
    }

    /** The U-Net F of the map in `given[0]`, at a step of the ladder: (n, n). */
    network(step) {
      const { given, inner, joined, blocks, base_channels, side: n } = this, layers = this.layers.values();
      const convolved = (x, y, level) => {
        const layer = layers.next().value;
        convolve(x[level], y[level], layer, layer.rows[step % layer.rows.length], n / 2 ** level);
      };
      for (let level = 0; level <= blocks; level++) {
        if (level) halve(joined[level - 1], given[level], base_channels * 2 ** (level - 1), n / 2 ** (level - 1));
        convolved(given, inner, level);
        convolved(inner, joined, level);
      }
      for (let level = blocks - 1; level >= 0; level--) {
        enlarge(joined[level + 1], joined[level], layers.next().value, base_channels * 2 ** level, n / 2 ** (level + 1));
        convolved(joined, inner, level);
        convolved(inner, joined, level);
      }
      return this.start.map((_, j) => joined[0][place(j, n)]);
    }

    /** The posterior mean D(y; sigma) at a step of the ladder. */
    denoise(y, step) {
      const { given, mean, side: n } = this, blind = this.inputs === 1, plane = (n + 2) ** 2;
      const [skip, out, into, u] = blind ? [] : this.scales.subarray(4 * step);
      y.forEach((value, j) => {
        const at = place(j, n);
        given[0][at] = blind ? value : into * (value - mean[j]);
        if (!blind) [given[0][at + plane], given[0][at + 2 * plane]] = [1, u];
      });
      const found = this.network(step);
      if (blind) return y.map((value, j) => value - found[j]); // F is the noise
      return y.map((v, j) => Math.min(2, Math.max(-1, mean[j] + skip * (v - mean[j]) + out * found[j])));
    }

    /** From noise z to an image: after each call the step, the noise left, y, and what it was denoised to. */
    *walk(z) {
      const { levels } = this;
      let y = z.map((value, j) => this.start[j] + levels[0] * value), before = null, last = 1;
      for (let step = 0; step < levels.length - 1; step++) {
        const now = this.denoise(y, step), earlier = before ?? now;
        const ratio = levels[step + 1] / levels[step], stride = -Math.log(ratio), bent = stride / (2 * last);
        y = y.map((value, j) => ratio * value + (1 - ratio) * (now[j] + bent * (now[j] - earlier[j])));
        [before, last] = [now, stride];
        yield { step, sigma: levels[step + 1], y, denoised: now };
      }
      const image = this.denoise(y, levels.length - 1);
      yield { step: levels.length - 1, sigma: 0, y: image, denoised: image };
    }
  }

  // ---------------------------------------------------------------- what the page asks of a worker

  const parts = { checked, between, Denoiser };
  if (typeof importScripts !== "function") return parts; // this is the page itself
  let model, walk, latest;
  const soon = new MessageChannel(); // between two steps the worker hears whether the page wants something else
  soon.port1.onmessage = ({ data }) => onward(data);
  function onward(number) {
    const found = number === latest ? walk.next() : { done: true };
    if (found.done) return;
    postMessage({ number, ...found.value });
    soon.port2.postMessage(number);
  }
  onmessage = ({ data: { told, base64, z, number } }) => {
    try {
      if (told) {
        model = new Denoiser(told, checked(told, base64));
        postMessage({ average: model.average });
      } else {
        [walk, latest] = [model.walk(z), number];
        onward(number);
      }
    } catch (error) {
      postMessage({ refused: error.message });
    }
  };
}
