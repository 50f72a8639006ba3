/** What bench/kernels.mjs measures: each case as functions over arrays of its own, in a worker thread, ours and libggml's. A message names case, side and time. */
import { parentPort, workerData } from 'node:worker_threads'

const ELEMENTS = 262_144 // they stay in the second-level cache
const COLS = 4096
const { openWorkshop, PLAIN_ARITHMETIC } = await import('../dist/src/engine/arithmetic.js')
const { quantBytes } = await import('../dist/src/core/quant-types.js')
const { ENCODED_TYPES } = await import('../dist/src/core/arithmetic.js')
const { openLibggml } = await import('../dist/test/support/libggml.js')

/** Types whose search takes importance. */
const WEIGHED = ['q4_0', 'q4_1', 'q5_0', 'q5_1', 'q2_k', 'q3_k', 'q4_k', 'q5_k', 'q6_k', 'iq4_nl', 'iq4_xs']
const RANKS = [16, 64, 256]

/** The names of all cases. */
export const CASES = [
  ...ENCODED_TYPES.filter((type) => type !== 'f32').map((type) => `f32 to ${type}`),
  ...WEIGHED.map((type) => `f32 to ${type}, importance`),
  ...ENCODED_TYPES.filter((type) => type !== 'f32').map((type) => `${type} to f32`),
  ...RANKS.map((rank) => `B · A, rank ${rank}`),
  ...RANKS.flatMap((rank) => ['q8_0', 'q4_k'].map((type) => `merge of rank ${rank}: bf16 to ${type}`)),
]

if (parentPort !== null) serve()

function serve() {
  const { arithmetic, arena } = openWorkshop(48 * 2 ** 20)
  const libggml = openLibggml()
  const rebuilt = workerData?.rebuilt && openLibggml(workerData.rebuilt)
  const floats = (count) => new Float32Array(arena.take(count * 4).buffer, arena.mark() - Math.ceil((count * 4) / 64) * 64, count)
  const known = new Map()
  const start = arena.mark()
  parentPort.on('message', ({ name, side, ms }) => {
    if (!known.has(name)) {
      known.clear()
      arena.release(start)
      known.set(name, makeCase(name))
    }
    const one = known.get(name)
    if (one[side] === undefined) return parentPort.postMessage({ same: one.same })
    one[side]()
    const begin = performance.now()
    let calls = 0
    do {
      one[side]()
      calls++
    } while (performance.now() - begin < ms)
    parentPort.postMessage({ same: one.same, speed: (ELEMENTS * calls) / (performance.now() - begin) / 1000 })
  })

  function makeCase(name) {
    const [, type = '', importance] = /^f32 to (\w+)(, importance)?$/.exec(name) ?? []
    if (type !== '') return encodeCase(type, importance === undefined ? undefined : gaussian(new Float32Array(COLS)).map((x) => x * x))
    const [, stored] = /^(\w+) to f32$/.exec(name) ?? []
    if (stored !== undefined) return widenCase(stored)
    const [, rank] = /rank (\d+)/.exec(name)
    const [, target] = /bf16 to (\w+)/.exec(name) ?? []
    return productCase(Number(rank), target)
  }

  function encodeCase(type, importance) {
    const from = gaussian(floats(ELEMENTS))
    const into = arena.take(quantBytes(type, ELEMENTS))
    const native = new Uint8Array(into.byteLength)
    const ours = () => arithmetic.encode(type, from, into, COLS, importance)
    const theirs = libggml && (() => libggml.encode(type, from, native, COLS, importance))
    ours()
    theirs?.()
    const same = theirs === undefined || Buffer.compare(into, native) === 0
    const again = rebuilt && (() => rebuilt.encode(type, from, native, COLS, importance))
    return { ours, theirs, rebuilt: again, plain: () => PLAIN_ARITHMETIC.encode(type, from, native, COLS, importance), same }
  }

  function widenCase(type) {
    const stored = type === 'f16' ? 'F16' : type === 'bf16' ? 'BF16' : type
    const bytes = arena.take(quantBytes(type, ELEMENTS))
    arithmetic.encode(type, gaussian(floats(ELEMENTS)), bytes, COLS)
    const [into, native] = [floats(ELEMENTS), new Float32Array(ELEMENTS)]
    const ours = () => arithmetic.widen(stored, bytes, into)
    const theirs = libggml && (() => libggml.widen(stored, bytes, native))
    ours()
    theirs?.()
    const same = theirs === undefined || Buffer.compare(new Uint8Array(into.buffer, into.byteOffset, ELEMENTS * 4), new Uint8Array(native.buffer)) === 0
    const again = rebuilt && (() => rebuilt.widen(stored, bytes, native))
    return { ours, theirs, rebuilt: again, plain: () => PLAIN_ARITHMETIC.widen(stored, bytes, native), same }
  }

  /** A product by itself, or a whole merge: bf16 weights widened, the product added and measured, the sum checked and encoded. libggml has none. */
  function productCase(rank, target) {
    const rows = ELEMENTS / COLS
    const [A, B] = [gaussian(floats(rank * COLS)), gaussian(floats(rows * rank))]
    const packed = floats(arithmetic.packedElements(rank, COLS))
    arithmetic.packRows(A, 0, rank, COLS, packed)
    const product = { B, A: packed, scale: 0.5, rank, cols: COLS }
    const into = floats(ELEMENTS)
    if (target === undefined) return { ours: () => arithmetic.product(product, into), same: true }
    const bytes = arena.take(ELEMENTS * 2)
    arithmetic.encode('bf16', gaussian(floats(ELEMENTS)), bytes, COLS)
    const output = arena.take(quantBytes(target, ELEMENTS))
    const norms = { delta: 0, weight: 0 }
    const ours = () => {
      arithmetic.widen('BF16', bytes, into)
      arithmetic.addProduct(into, product, norms) // tells the largest magnitude, too
      arithmetic.encode(target, into, output, COLS)
    }
    return { ours, same: true }
  }
}

/** Weights of a usual size; xorshift and Box-Muller, seeded. */
function gaussian(into) {
  let state = 1
  const next = () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return ((state >>> 0) + 0.5) / 2 ** 32
  }
  for (let i = 0; i < into.length; i++) into[i] = 0.02 * Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next())
  return into
}
