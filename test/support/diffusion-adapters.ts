/** Bases and adapters for diffusion pipelines, made of seeded values, and what merging them must give, in f64 by the definition. */
import assert from 'node:assert/strict'
import type { NamedModule } from './stable-diffusion.js'
import { f32Tensor, valuesOf, type PlainTensor } from './plain-tensors.js'
import { seededTensor } from './tiny-models.js'

export type Tensors = Record<string, PlainTensor>
/** Values by the base's tensor name. */
export type Expected = Map<string, Float64Array>

const elements = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1)

/** A model: weights and biases of all modules, by one of their names. */
export function modelTensors(modules: readonly NamedModule[], naming: 'diffusers' | 'original', prefix = '', seed = 1): Tensors {
  const tensors: Tensors = {}
  modules.forEach((module, i) => {
    if (module[naming] === '') return
    tensors[`${prefix}${module[naming]}.weight`] = seededTensor(seed * 100_000 + 2 * i, 'F32', module.shape, 0.5)
    if (module.hasBias) tensors[`${prefix}${module[naming]}.bias`] = seededTensor(seed * 100_000 + 2 * i + 1, 'F32', module.shape.slice(0, 1), 0.5)
  })
  return tensors
}

/** One trained module of an adapter. */
export interface MadeModule {
  /** Keys begin so: `lora_unet_conv_in`, `unet.conv_in`. */
  readonly key: string
  /** Of the base's weight. */
  readonly shape: readonly number[]
  readonly rank?: number
  /** Undefined: none is stored. */
  readonly alpha?: number
}

/** Spellings of the two factors after a module's key. */
export const KOHYA = ['.lora_down.weight', '.lora_up.weight'] as const
export const PEFT_NAMES = ['.lora_A.weight', '.lora_B.weight'] as const

/** Plain LoRA: down (rank x in x kernel), up (out x rank x 1 …), alpha. */
export function loraTensors(modules: readonly MadeModule[], [down, up]: readonly [string, string] = KOHYA, seed = 1): Tensors {
  const tensors: Tensors = {}
  modules.forEach(({ key, shape, rank = 2, alpha }, i) => {
    const [out = 0, ...rest] = shape
    tensors[key + down] = seededTensor(seed * 1000 + 2 * i, 'F32', [rank, ...rest], 0.1)
    tensors[key + up] = seededTensor(seed * 1000 + 2 * i + 1, 'F32', [out, rank, ...rest.slice(1).map(() => 1)], 0.1)
    if (alpha !== undefined) tensors[`${key}.alpha`] = f32Tensor([], [alpha])
  })
  return tensors
}

/** `scale * up · down` as (out x everything else). */
export function product(up: PlainTensor, down: PlainTensor, scale: number): Float64Array {
  const rank = down.shape[0] ?? 1
  const [out, inputs] = [elements(up.shape) / rank, elements(down.shape) / rank]
  const [b, a] = [valuesOf(up), valuesOf(down)]
  const values = new Float64Array(out * inputs)
  for (let i = 0; i < out; i++)
    for (let k = 0; k < rank; k++) for (let j = 0; j < inputs; j++) values[i * inputs + j]! += scale * (b[i * rank + k] ?? 0) * (a[k * inputs + j] ?? 0)
  return values
}

/** What LoRA of {@link loraTensors} adds to a module's weight. */
export function loraDelta(tensors: Tensors, { key, rank = 2, alpha = rank }: MadeModule, [down, up]: readonly [string, string] = KOHYA): Float64Array {
  const [A, B] = [tensors[key + down], tensors[key + up]]
  assert.ok(A && B, key)
  return product(B, A, alpha / rank)
}

/** `base + delta`, from row `first` on. */
export function added(base: PlainTensor, delta: Float64Array, first = 0): Float64Array {
  const values = valuesOf(base)
  const start = first * (values.length / (base.shape[0] ?? 1))
  delta.forEach((value, i) => (values[start + i]! += value))
  return values
}

/** Holds merged tensors to what is expected, and everything else to the base's very bytes. */
export function assertMerged(got: ReadonlyMap<string, PlainTensor>, base: Tensors, expected: Expected): void {
  assert.deepEqual([...got.keys()].sort(), Object.keys(base).sort())
  for (const [name, tensor] of got) {
    const wanted = expected.get(name)
    if (wanted === undefined) {
      assert.deepEqual(tensor.bytes, base[name]?.bytes, `${name} must be the base's`)
      continue
    }
    assert.deepEqual(tensor.shape, base[name]?.shape, name)
    const values = valuesOf(tensor)
    assert.equal(values.length, wanted.length, name)
    const wrong = values.findIndex((value, i) => !(Math.abs(value - (wanted[i] ?? Number.NaN)) <= 1e-6 + 2 ** -22 * Math.abs(wanted[i] ?? 0)))
    assert.equal(wrong, -1, `${name}[${wrong}]: ${values[wrong]}, wanted ${wanted[wrong]}`)
  }
  for (const name of expected.keys()) assert.ok(got.has(name), `${name} is missing`)
}
