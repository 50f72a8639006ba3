/** Weights that have broken quantizers: what kernels and twins are compared on. */
import { Seeded } from './straight-math.js'

type Fill = (random: Seeded, i: number) => number

/** Roughly normal, deviation 1: the sum of four uniforms. */
export function normal(random: Seeded): number {
  let sum = -2
  for (let i = 0; i < 4; i++) sum += random.bits() / 2 ** 32
  return sum * Math.sqrt(3)
}

const integer = (random: Seeded, count: number): number => random.bits() % count
const flip = (random: Seeded): number => (random.bits() & 1 ? 1 : -1)
const subBlock = (i: number, size: number): number => Math.floor(i / size)

export const ADVERSARIAL: Readonly<Record<string, Fill>> = {
  'normal weights': (random) => normal(random) * 0.02,
  'uniform weights': (random) => (random.bits() / 2 ** 31 - 1) * 3,
  'ties of every step': (random) => (integer(random, 255) - 127) * 0.5,
  'ties of q8_0 with ±max in every block': (random, i) => (i % 32 === 7 ? 127 * flip(random) : (integer(random, 509) - 254) / 2),
  'only ±max and zero': (random, i) => (integer(random, 3) - 1) * 0.25 * (1 + (subBlock(i, 32) % 7)),
  'ties between +max and -max': (random, i) => (i % 16 < 2 ? flip(random) : normal(random) * 0.2),
  zeros: () => 0,
  'zeros of both signs': (random) => (random.bits() & 1 ? 0 : -0),
  'blocks and sub-blocks of zeros among others': (random, i) => (subBlock(i, 256) % 3 === 0 || subBlock(i, 16) % 3 === 0 ? 0 : normal(random)),
  'zeros of both signs among positive values': (random) => (integer(random, 4) === 0 ? (random.bits() & 1 ? 0 : -0) : Math.abs(normal(random))),
  constants: (_, i) => (subBlock(i, 64) % 5) - 2,
  'constants but for one': (random, i) => (i % 32 === integer(random, 32) ? 1.25 : 0.75),
  'only positive values': (random) => Math.abs(normal(random)),
  'only negative values': (random) => -Math.abs(normal(random)) - 0.01,
  'far from zero, close together': (random) => 100 + normal(random) * 0.001,
  'negative, far from zero, close together': (random) => -100 + normal(random) * 0.001,
  'smaller from block to block': (random, i) => normal(random) * 2 ** -(subBlock(i, 256) % 160),
  'twelve powers of ten': (random) => normal(random) * 10 ** (integer(random, 1200) / 100 - 8),
  'one scale per sub-block': (random, i) => normal(random) * 2 ** -((subBlock(i, 16) * 7) % 40),
  'subnormal numbers': (random) => flip(random) * (integer(random, 0x0080_0000) * 2 ** -149),
  'numbers around the smallest normal one': (random) => flip(random) * (integer(random, 0x0200_0000) * 2 ** -149),
  'zeros among numbers around the smallest normal one, in some sub-blocks': (random, i) =>
    subBlock(i, 32) % 3 !== 0 ? normal(random) : random.bits() & 1 ? 0 : flip(random) * (integer(random, 0x0200_0000) * 2 ** -149),
  outliers: (random) => (integer(random, 100) === 0 ? normal(random) * 1000 : normal(random)),
  'one outlier in a quiet block': (random, i) => (i % 256 === 77 ? 5 : normal(random) * 1e-4),
  'few different values': (random) => [-1, -0.5, 0, 0.25, 1][integer(random, 5)] ?? 0,
  'a ramp': (_, i) => (i % 256) / 256,
  'large, as f16 holds them': (random) => (random.bits() / 2 ** 31 - 1) * 65504,
}

/** @returns count f32 of one kind */
export function adversarial(kind: string, count: number, seed: number): Float32Array {
  const random = new Seeded(seed)
  const fill = ADVERSARIAL[kind]
  if (fill === undefined) throw new RangeError(kind)
  return Float32Array.from({ length: count }, (_, i) => fill(random, i))
}
