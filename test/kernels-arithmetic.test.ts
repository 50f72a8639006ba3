/** Every kernel against its plain-JS twin: not a byte may differ, whatever the data, wherever the arrays lie. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { ENCODED_TYPES, type EncodedType, type ReadableType } from '../src/core/arithmetic.js'
import { InternalError } from '../src/core/errors.js'
import { QUANT_TYPES, quantBytes } from '../src/core/quant-types.js'
import { PLAIN_ARITHMETIC } from '../src/engine/arithmetic.js'
import type { BlockType } from '../src/quantize/block-formats.js'
import { createKernelArithmetic, type TileArithmetic } from '../src/kernels/kernel-arithmetic.js'
import { openKernels, type Kernels } from '../src/kernels/load.js'
import { ADVERSARIAL, adversarial } from './support/adversarial.js'
import { BLOCK_TYPES, COLS, IMPORTANCE, INPUTS, vectorSection } from './support/quant-vectors.js'
import { Seeded } from './support/straight-math.js'

const ARENA_BYTES = 8_000_000
const opened = openKernels(ARENA_BYTES)
const WITH_KERNELS = { skip: opened === undefined ? 'no kernels: kernels.wasm was not built beside load.js' : false }

function kernelsHere(): { kernels: Kernels; arithmetic: TileArithmetic } {
  assert.ok(opened)
  return { kernels: opened, arithmetic: createKernelArithmetic(opened, PLAIN_ARITHMETIC) }
}

/** A copy of an array, in the kernels' memory or in memory of its own. */
function put(values: Float32Array, inside: boolean): Float32Array {
  const bytes = inside ? kernelsHere().kernels.arena.take(values.byteLength) : new Uint8Array(values.byteLength)
  const copy = new Float32Array(bytes.buffer, bytes.byteOffset, values.length)
  copy.set(values)
  return copy
}

function room(byteLength: number, inside: boolean): Uint8Array {
  return inside ? kernelsHere().kernels.arena.take(byteLength).fill(0xaa) : new Uint8Array(byteLength).fill(0xaa)
}

/** Runs with an arena whose stack is taken back afterwards. */
function inArena<T>(use: (kernels: Kernels, arithmetic: TileArithmetic) => T): T {
  const { kernels, arithmetic } = kernelsHere()
  const mark = kernels.arena.mark()
  try {
    return use(kernels, arithmetic)
  } finally {
    kernels.arena.release(mark)
  }
}

function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}

function assertSame(actual: ArrayBufferView, expected: ArrayBufferView, label: string): void {
  const [a, e] = [bytesOf(actual), bytesOf(expected)]
  const at = a.length === e.length ? a.findIndex((byte, i) => byte !== e[i]) : -2
  assert.ok(at === -1, `${label}: differs at byte ${at} of ${e.length}: ${a[at]}, wanted ${e[at]}`)
}

/** Encodes by kernel and by twin. */
function checkEncode(
  type: EncodedType,
  values: Float32Array,
  cols: number,
  inside: readonly [boolean, boolean],
  label: string,
  importance?: Float32Array,
): void {
  inArena((_, arithmetic) => {
    const expected = new Uint8Array(quantBytes(type, values.length))
    PLAIN_ARITHMETIC.encode(type, values, expected, cols, importance)
    const from = put(values, inside[0])
    const into = room(expected.length, inside[1])
    arithmetic.encode(type, from, into, cols, importance)
    assertSame(into, expected, `${type}, ${label}`)
    assertSame(from, values, `${type}, ${label}: the input`)
  })
}

const TYPES = ENCODED_TYPES
const PLACES = [
  [true, true],
  [false, true],
  [true, false],
  [false, false],
] as const
/** Importance as imatrix files have it, and as none should. */
const IMPORTANCES: Readonly<Record<string, (random: Seeded, i: number) => number>> = {
  'of one': () => 1,
  'of usual size': (random) => Math.fround(random.bits() / 2 ** 32),
  'with zeros': (random) => (random.bits() % 3 === 0 ? 0 : Math.fround((random.bits() / 2 ** 32) * 100)),
  'zero but for a column': (_, i) => (i % 97 === 5 ? 3 : 0),
  'of zero': () => 0,
  'over thirty powers of ten': (random) => Math.fround(10 ** ((random.bits() % 3000) / 100 - 20)),
  'beyond measure': (random) => Math.fround(1e30 * (random.bits() / 2 ** 32)),
  'below zero here and there': (random) => Math.fround(random.bits() / 2 ** 32 - 0.1),
}
const anyPlaces = fc.constantFrom(...PLACES)
const anyBits = fc.array(fc.integer({ min: 0, max: 0xffff_ffff }), { minLength: 1, maxLength: 70 })

function floatsOfBits(bits: readonly number[]): Float32Array {
  return new Float32Array(Uint32Array.from(bits).buffer)
}

describe('the kernels', WITH_KERNELS, () => {
  for (const type of TYPES) {
    it(`write ${type} in the bytes of the twin, on adversarial weights`, () => {
      for (const kind of Object.keys(ADVERSARIAL)) for (const seed of [1, 2]) checkEncode(type, adversarial(kind, 256 * 24, seed), 256, [true, true], kind)
    })

    it(`write ${type} in the bytes of the twin, whatever mixture, size and place`, () => {
      const kinds = fc.array(fc.constantFrom(...Object.keys(ADVERSARIAL)), { minLength: 1, maxLength: 3 })
      const { blockElements } = QUANT_TYPES[type]
      fc.assert(
        fc.property(kinds, fc.integer(), fc.integer({ min: 1, max: 7 }), fc.integer({ min: 1, max: 5 }), anyPlaces, (mixture, seed, rows, blocks, inside) => {
          const cols = blocks * Math.max(blockElements, 1)
          const random = new Seeded(seed)
          const sources = mixture.map((kind, n) => adversarial(kind, rows * cols, seed + n))
          const values = Float32Array.from({ length: rows * cols }, (_, i) => sources[random.bits() % sources.length]?.[i] ?? 0)
          checkEncode(type, values, cols, inside, mixture.join(' + '))
        }),
        { numRuns: 150 },
      )
    })

    it(`write ${type} in the bytes of the twin for any finite bits within its range`, () => {
      const { blockElements } = QUANT_TYPES[type]
      const block = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true, min: -65504, max: 65504 }), {
        minLength: Math.max(blockElements, 8),
        maxLength: Math.max(blockElements, 8),
      })
      fc.assert(
        fc.property(block, anyPlaces, (values, inside) => checkEncode(type, Float32Array.from(values), values.length, inside, 'any finite values')),
        { numRuns: 150 },
      )
    })
  }

  it('stop before a block whose scale has no inverse, wherever in a run of blocks it is, and go on behind it', () => {
    const blocks = 150
    for (const type of BLOCK_TYPES) {
      const { blockElements } = QUANT_TYPES[type]
      for (const odd of [[0], [1, 2], [3, 4], [62, 63], [64], [65, 66, 67, 68], [127, 128], [148, 149]]) {
        const values = adversarial('normal weights', blocks * blockElements, odd[0] ?? 0)
        for (const block of odd) values.fill(1e-44, block * blockElements, (block + 1) * blockElements)
        for (const count of [blocks, blocks - 1])
          checkEncode(type, values.subarray(0, count * blockElements), blockElements, [true, true], `blocks ${odd.join(', ')} are odd`)
      }
    }
  })

  it('take rows that are longer than a piece, wherever they lie', () => {
    const values = adversarial('normal weights', 32_768 * 2 + 256, 5)
    for (const type of TYPES) for (const inside of PLACES) checkEncode(type, values, values.length, inside, 'long rows')
  })

  for (const type of BLOCK_TYPES) {
    it(`write ${type} with importance in the bytes of the twin, on adversarial weights`, () => {
      const cols = 768
      Object.keys(ADVERSARIAL).forEach((kind, n) => {
        const values = adversarial(kind, cols * 5, n)
        for (const [name, fill] of Object.entries(IMPORTANCES)) {
          const random = new Seeded(n)
          const importance = Float32Array.from({ length: cols }, (_, i) => fill(random, i))
          checkEncode(type, values, cols, PLACES[n % 4] ?? PLACES[0], `${kind}, importance ${name}`, importance)
        }
      })
    })

    it(`write ${type} with importance in the bytes of the twin, whatever mixture, size and place`, () => {
      const { blockElements } = QUANT_TYPES[type]
      const drawn = fc.record({
        kinds: fc.array(fc.constantFrom(...Object.keys(ADVERSARIAL)), { minLength: 1, maxLength: 3 }),
        weights: fc.constantFrom(...Object.values(IMPORTANCES)),
        seed: fc.integer(),
        rows: fc.integer({ min: 1, max: 7 }),
        blocks: fc.integer({ min: 1, max: 5 }),
        inside: anyPlaces,
      })
      fc.assert(
        fc.property(drawn, ({ kinds, weights, seed, rows, blocks, inside }) => {
          const cols = blocks * blockElements
          const random = new Seeded(seed)
          const sources = kinds.map((kind, n) => adversarial(kind, rows * cols, seed + n))
          const values = Float32Array.from({ length: rows * cols }, (_, i) => sources[random.bits() % sources.length]?.[i] ?? 0)
          const importance = Float32Array.from({ length: cols }, (_, i) => weights(random, i))
          checkEncode(type, values, cols, inside, kinds.join(' + '), importance)
        }),
        { numRuns: 100 },
      )
    })
  }

  it('leave sizes that they do not know to the twin, which says what is wrong', () => {
    inArena((_, arithmetic) => {
      for (const type of BLOCK_TYPES) {
        const wanted = vectorSection(type, 'importance')
        if (wanted === undefined) continue
        for (const inside of PLACES) {
          const into = room(wanted.length, inside[1])
          arithmetic.encode(type, put(INPUTS, inside[0]), into, COLS, IMPORTANCE)
          assertSame(into, wanted, `${type} with importance`)
        }
      }
      assert.throws(() => arithmetic.encode('q8_0', new Float32Array(33), new Uint8Array(64), 33), InternalError)
      assert.throws(() => arithmetic.encode('q4_0', new Float32Array(64), new Uint8Array(37), 64), InternalError)
      assert.throws(() => arithmetic.encode('q4_0', new Float32Array(64), new Uint8Array(36), 64, new Float32Array(32)), InternalError)
    })
  })

  for (const type of BLOCK_TYPES) {
    it(`write and read ${type} in the reference's bytes`, () => {
      inArena((_, arithmetic) => {
        const wanted = vectorSection(type, 'plain')
        if (wanted !== undefined) {
          const into = room(wanted.length, true)
          arithmetic.encode(type, put(INPUTS, true), into, COLS)
          assertSame(into, wanted, type)
        }
        const [blocks, decoded] = [vectorSection(type, 'blocks'), vectorSection(type, 'decoded')]
        if (blocks === undefined || decoded === undefined) return
        for (const inside of PLACES) {
          const from = room(blocks.length, inside[0])
          from.set(blocks)
          const into = put(new Float32Array(decoded.length / 4), inside[1])
          arithmetic.widen(type, from, into)
          assertSame(into, decoded, `${type} read`)
        }
      })
    })
  }
})

describe('the kernels that read blocks', WITH_KERNELS, () => {
  for (const type of BLOCK_TYPES) {
    const { blockElements, blockBytes } = QUANT_TYPES[type]

    it(`give what the twin reads in any bytes as ${type}, scales of NaN and infinity too`, () => {
      fc.assert(
        fc.property(fc.integer({ min: 1, max: 9 }), fc.integer(), anyPlaces, (blocks, seed, inside) => {
          const random = new Seeded(seed)
          checkRead(
            type,
            Uint8Array.from({ length: blocks * blockBytes }, () => random.bits() >>> 24),
            inside,
            'any bytes',
          )
        }),
        { numRuns: 150 },
      )
    })

    it(`give what the twin reads in ${type} blocks of adversarial weights, of any number`, () => {
      const kinds = Object.keys(ADVERSARIAL)
      kinds.forEach((kind, n) => {
        const values = adversarial(kind, blockElements * (1 + (n % 7)), 3)
        const blocks = new Uint8Array(quantBytes(type, values.length))
        PLAIN_ARITHMETIC.encode(type, values, blocks, values.length)
        checkRead(type, blocks, PLACES[n % 4] ?? PLACES[0], kind)
      })
    })
  }
})

function checkRead(type: ReadableType, blocks: Uint8Array, inside: readonly [boolean, boolean], label: string): void {
  inArena((_, arithmetic) => {
    const { blockElements, blockBytes } = QUANT_TYPES[type as BlockType]
    const expected = new Float32Array((blocks.length / blockBytes) * blockElements)
    PLAIN_ARITHMETIC.widen(type, blocks, expected)
    const from = room(blocks.length, inside[0])
    from.set(blocks)
    const into = put(new Float32Array(expected.length), inside[1])
    arithmetic.widen(type, from, into)
    assertSame(into, expected, `${type}, ${label}`)
  })
}

describe('the kernels of halves', WITH_KERNELS, () => {
  for (const type of ['F16', 'BF16'] as const) {
    it(`widen all 65,536 values of ${type} bit by bit, NaN payloads too`, () => {
      inArena((_, arithmetic) => {
        const halves = bytesOf(Uint16Array.from({ length: 65_536 }, (_unused, i) => i))
        const expected = new Float32Array(65_536)
        PLAIN_ARITHMETIC.widen(type, halves, expected)
        const from = room(halves.length, true)
        from.set(halves)
        const into = put(new Float32Array(65_536), true)
        arithmetic.widen(type, from, into)
        assertSame(into, expected, type)
      })
    })

    it(`narrow f32 of every exponent and any fraction to ${type}`, () => {
      const random = new Seeded(9)
      const bits = Uint32Array.from({ length: 1 << 18 }, (_, i) => ((i << 23) | ((random.bits() >>> 9) >>> (i % 23))) >>> 0)
      checkEncode(type === 'F16' ? 'f16' : 'bf16', new Float32Array(bits.buffer), bits.length, [true, true], 'every exponent')
    })

    it(`narrow f32 to ${type} with NaN and infinities of both signs anywhere`, () => {
      const patterns = [[0x7fc0_0000], [0x7f80_0001], [0xffff_ffff], [0x7f80_0000, 0xff80_0000], [0xff80_0000]]
      for (const position of [0, 15, 16, 255, 256, 300, 511, 512, 519])
        for (const pattern of patterns) {
          const values = adversarial('normal weights', 522, position)
          new Uint32Array(values.buffer).set(pattern, position)
          checkEncode(type === 'F16' ? 'f16' : 'bf16', values, values.length, [true, true], `${pattern.join(', ')} at ${position}`)
        }
    })

    it(`narrow and widen ${type} of any length, wherever it lies`, () => {
      fc.assert(
        fc.property(anyBits, anyPlaces, (bits, inside) => {
          const values = floatsOfBits(bits)
          checkEncode(type === 'F16' ? 'f16' : 'bf16', values, values.length, inside, 'any bits')
          inArena((_, arithmetic) => {
            const halves = bytesOf(Uint16Array.from(bits, (one) => one & 0xffff))
            const expected = new Float32Array(bits.length)
            PLAIN_ARITHMETIC.widen(type, halves, expected)
            const from = room(halves.length, inside[0])
            from.set(halves)
            const into = put(new Float32Array(bits.length), inside[1])
            arithmetic.widen(type, from, into)
            assertSame(into, expected, `${type} widened`)
          })
        }),
        { numRuns: 300 },
      )
    })
  }
})

describe('the kernels of the sum', WITH_KERNELS, () => {
  const factors = fc.record({
    rows: fc.integer({ min: 1, max: 13 }),
    cols: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(64, 257, 700)),
    rank: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.constantFrom(16, 64, 255, 1024)),
    scale: fc.constantFrom(2, 0.5, -1, 1 / 3, 16 / 7).map(Math.fround),
    seed: fc.integer(),
    inside: fc.tuple(fc.boolean(), fc.boolean(), fc.boolean()),
  })

  it('give low-rank products in the bytes of the twin, for any rank, rows and columns', () => {
    fc.assert(
      fc.property(factors, ({ rows, cols, rank, scale, seed, inside }) => {
        inArena((_, arithmetic) => {
          const random = new Seeded(seed)
          const B = Float32Array.from(random.weights(rows * rank, 0.1))
          const A = Float32Array.from(random.weights(rank * cols, 0.1))
          const expected = new Float32Array(rows * cols)
          PLAIN_ARITHMETIC.lowRank(B, A, scale, rank, cols, expected)
          const into = put(new Float32Array(rows * cols).fill(7), inside[2])
          arithmetic.lowRank(put(B, inside[0]), put(A, inside[1]), scale, rank, cols, into)
          assertSame(into, expected, `${rows} x ${cols}, rank ${rank}`)
        })
      }),
      { numRuns: 200 },
    )
  })

  it('leave factors that find no room to the twin', () => {
    inArena(({ arena }, arithmetic) => {
      const random = new Seeded(4)
      const check = (rank: number, cols: number, rows: number): void => {
        const [B, A] = [Float32Array.from(random.weights(rows * rank)), Float32Array.from(random.weights(rank * cols))]
        const [expected, into] = [new Float32Array(rows * cols), new Float32Array(rows * cols)]
        PLAIN_ARITHMETIC.lowRank(B, A, 2, rank, cols, expected)
        arithmetic.lowRank(B, A, 2, rank, cols, into)
        assertSame(into, expected, `rank ${rank}`)
      }
      check(1025, 9, 2)
      arena.take(ARENA_BYTES - 100_000)
      check(64, 700, 5)
    })
  })

  it('add, and add deltas with the norms of both, bit for bit', () => {
    const matrix = fc.record({
      rows: fc.integer({ min: 1, max: 9 }),
      cols: fc.oneof(fc.integer({ min: 1, max: 30 }), fc.constantFrom(64, 511, 512, 520, 1100)),
      size: fc.constantFrom(1, 1e-3, 1e-25, 2 ** -41, 2 ** -40, 2 ** 59, 2 ** 60, 1e30),
      zeros: fc.tuple(fc.constantFrom(0, 1, 2, 4, 8), fc.constantFrom(0, 1, 2, 4, 8)), // in no column, in all, in every second, fourth, eighth one
      seed: fc.integer(),
      inside: fc.tuple(fc.boolean(), fc.boolean()),
    })
    fc.assert(
      fc.property(matrix, ({ rows, cols, size, zeros, seed, inside }) => {
        inArena((_, arithmetic) => {
          const random = new Seeded(seed)
          const drawn = (size: number, every: number): Float32Array =>
            Float32Array.from(random.weights(rows * cols, size), (value, i) => (every > 0 && (i % cols) % every === 0 ? (i % 3 === 0 ? -0 : 0) : value))
          const [W, delta] = [drawn(1, zeros[0]), drawn(size, zeros[1])]
          const [expected, expectedNorms] = [W.slice(), { delta: 0.1, weight: 0.2 }]
          PLAIN_ARITHMETIC.addDelta(expected, delta, cols, expectedNorms)
          const [into, norms] = [put(W, inside[0]), { delta: 0.1, weight: 0.2 }]
          arithmetic.addDelta(into, put(delta, inside[1]), cols, norms)
          assertSame(into, expected, 'W + delta')
          assert.deepEqual(norms, expectedNorms)
          const sum = put(W, inside[0])
          arithmetic.add(sum, put(delta, inside[1]))
          assertSame(sum, expected, 'sum')
        })
      }),
      { numRuns: 200 },
    )
  })

  it('add a low-rank product as if it were made first: the bytes, the norms, the largest magnitude', () => {
    fc.assert(
      fc.property(factors, ({ rows, cols, rank, scale, seed, inside }) => {
        inArena((_, arithmetic) => {
          const random = new Seeded(seed)
          const [B, A, W] = [rows * rank, rank * cols, rows * cols].map((count) => Float32Array.from(random.weights(count, 0.1)))
          assert.ok(B !== undefined && A !== undefined && W !== undefined)
          const delta = new Float32Array(rows * cols)
          PLAIN_ARITHMETIC.lowRank(B, A, scale, rank, cols, delta)
          const [expected, expectedNorms] = [W.slice(), { delta: 0, weight: 0 }]
          PLAIN_ARITHMETIC.addDelta(expected, delta, cols, expectedNorms)

          for (const one of [PLAIN_ARITHMETIC, arithmetic]) {
            const packed = put(new Float32Array(one.packedElements(rank, cols)), inside[0])
            const half = rank >> 1
            if (half > 0) one.packRows(put(A.subarray(0, half * cols), inside[1]), 0, rank, cols, packed)
            one.packRows(put(A.subarray(half * cols), inside[1]), half, rank, cols, packed)
            const product = { B: put(B, inside[1]), A: packed, scale, rank, cols }
            const made = put(new Float32Array(rows * cols).fill(7), inside[2])
            one.product(product, made)
            assertSame(made, delta, 'product')
            const into = put(W, inside[2])
            const norms = { delta: 0, weight: 0 }
            const largest = one.addProduct(into, product, norms)
            assertSame(into, expected, 'W + product')
            assert.deepEqual(norms, expectedNorms)
            assert.equal(largest, PLAIN_ARITHMETIC.largestMagnitude(expected))
          }
        })
      }),
      { numRuns: 150 },
    )
  })

  it('tell of NaN and infinity in what a product is added to', () => {
    inArena((_, arithmetic) => {
      for (const [broken, bits] of [
        [NaN, 0x7f80_0001],
        [-Infinity, 0x7f80_0000],
      ] as const) {
        const W = put(Float32Array.of(1, 2, broken, 4, 5), true)
        const product = { B: Float32Array.of(1), A: put(new Float32Array(8).fill(1), true), scale: 1, rank: 1, cols: 5 }
        assert.ok(arithmetic.addProduct(W, product, { delta: 0, weight: 0 }) >= bits)
      }
    })
  })

  it('find the largest magnitude, NaN above infinity above all numbers', () => {
    fc.assert(
      fc.property(anyBits, fc.boolean(), (bits, inside) => {
        inArena((_, arithmetic) => {
          const values = floatsOfBits(bits)
          const wanted = bits.reduce((most, one) => Math.max(most, one & 0x7fff_ffff), 0)
          const placed = put(new Float32Array(values.length), inside)
          bytesOf(placed).set(bytesOf(values))
          assert.equal(arithmetic.largestMagnitude(placed), wanted)
          assert.equal(PLAIN_ARITHMETIC.largestMagnitude(values), wanted)
        })
      }),
      { numRuns: 200 },
    )
  })
})
