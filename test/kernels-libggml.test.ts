/** Every kernel against libggml itself on the same rows, with and without importance. Bytes are compared on x86-64 only: elsewhere ggml's compilers fuse operations. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ENCODED_TYPES, type EncodedType } from '../src/core/arithmetic.js'
import { quantBytes } from '../src/core/quant-types.js'
import { openWorkshop } from '../src/engine/arithmetic.js'
import { ADVERSARIAL, adversarial } from './support/adversarial.js'
import { openLibggml } from './support/libggml.js'
import { BLOCK_TYPES } from './support/quant-vectors.js'
import { Seeded } from './support/straight-math.js'

const COLS = 1024
const ROWS = 3
const libggml = process.arch === 'x64' ? openLibggml() : undefined
const WITH_LIBGGML = { skip: libggml === undefined ? 'no libggml for this platform, or not x86-64' : false }
/** 2^28 in .ci/run, which sets EXHAUSTIVE; fewer in a quick run. */
const COUNT_OF_F32 = process.env['EXHAUSTIVE'] === undefined ? 2 ** 23 : 2 ** 28
const CHUNK = 2 ** 18
const TYPES = ENCODED_TYPES.filter((type) => type !== 'f32')

function compare(type: EncodedType, values: Float32Array, label: string, importance?: Float32Array): void {
  const { arithmetic } = openWorkshop(1_000_000)
  const [ours, theirs] = [new Uint8Array(quantBytes(type, values.length)), new Uint8Array(quantBytes(type, values.length))]
  arithmetic.encode(type, values, ours, COLS, importance)
  libggml?.encode(type, values, theirs, COLS, importance)
  const at = ours.findIndex((byte, i) => byte !== theirs[i])
  assert.ok(at === -1, `${type}, ${label}: byte ${at} of ${ours.length} is ${ours[at]}, libggml writes ${theirs[at]}`)
}

describe('the kernels and libggml', WITH_LIBGGML, () => {
  for (const type of TYPES) {
    it(`write the same ${type}`, () => {
      for (const kind of Object.keys(ADVERSARIAL)) compare(type, adversarial(kind, COLS * ROWS, 11), kind)
    })

    it(`write the same ${type} with importance`, () => {
      for (const kind of Object.keys(ADVERSARIAL)) {
        const random = new Seeded(kind.length)
        const some = Float32Array.from({ length: COLS }, () => (random.bits() % 5 === 0 ? 0 : Math.fround(random.bits() / 2 ** 30)))
        const wide = Float32Array.from({ length: COLS }, () => Math.fround(10 ** ((random.bits() % 1200) / 100 - 8)))
        compare(type, adversarial(kind, COLS * ROWS, 12), kind, some)
        compare(type, adversarial(kind, COLS * ROWS, 13), kind, wide)
      }
    })
  }

  for (const type of BLOCK_TYPES) {
    it(`read the same ${type}`, () => {
      const { arithmetic } = openWorkshop(1_000_000)
      for (const kind of Object.keys(ADVERSARIAL)) {
        const bytes = new Uint8Array(quantBytes(type, COLS))
        arithmetic.encode(type, adversarial(kind, COLS, 14), bytes, COLS)
        const [ours, theirs] = [new Float32Array(COLS), new Float32Array(COLS)]
        arithmetic.widen(type, bytes, ours)
        libggml?.widen(type, bytes, theirs)
        assert.deepEqual(new Uint8Array(ours.buffer), new Uint8Array(theirs.buffer), `${type}, ${kind}`)
      }
    })
  }

  for (const type of ['f16', 'bf16'] as const) {
    it(`round f32 to ${type} alike, NaN and infinity too: ${COUNT_OF_F32} of all f32 at even distances`, () => {
      const { arithmetic, arena } = openWorkshop(CHUNK * 6 + 4096)
      const bits = new Uint32Array(arena.take(CHUNK * 4).buffer, arena.mark() - CHUNK * 4, CHUNK)
      const values = new Float32Array(bits.buffer, bits.byteOffset, CHUNK)
      const [ours, theirs] = [arena.take(CHUNK * 2), new Uint8Array(CHUNK * 2)]
      const stride = 2 ** 32 / COUNT_OF_F32
      for (let first = 0; first < COUNT_OF_F32; first += CHUNK) {
        // another place in each stride, so that low bits differ
        for (let i = 0; i < CHUNK; i++) bits[i] = (first + i) * stride + ((first + i) % stride)
        arithmetic.encode(type, values, ours, CHUNK)
        libggml?.encode(type, values, theirs, CHUNK)
        if (Buffer.compare(ours, theirs) === 0) continue
        const at = ours.findIndex((byte, i) => byte !== theirs[i]) >> 1
        assert.fail(`0x${bits[at]?.toString(16)} becomes ${ours[2 * at]} ${ours[2 * at + 1]}, in libggml ${theirs[2 * at]} ${theirs[2 * at + 1]}`)
      }
    })
  }
})
