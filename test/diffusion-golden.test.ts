/** The hand-made adapters of the golden data: kohya, diffusers old and new, LyCORIS, each against its definition in f64. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { execute, planMerge } from '../src/index.js'
import { added, assertMerged, product, type Expected, type Tensors } from './support/diffusion-adapters.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'
import { readSafetensors, valuesOf, type PlainTensor } from './support/plain-tensors.js'
import { workspace } from './support/workspace.js'

const FOLDER = join(GOLDEN ?? '', 'merge', 'foreign_formats')
const UNET = 'unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q'
const CLIP = 'text_encoder.text_model.encoder.layers.0.self_attn.q_proj'
const FLAT = `lora_${UNET.replaceAll('.', '_')}`

const tensorsOf = (name: string): Tensors => Object.fromEntries(readSafetensors(join(FOLDER, `${name}.safetensors`)))

function get(tensors: Tensors, name: string): PlainTensor {
  const tensor = tensors[name]
  assert.ok(tensor, name)
  return tensor
}

const alphaOf = (tensors: Tensors): number => valuesOf(get(tensors, `${FLAT}.alpha`))[0] ?? Number.NaN

/** What each file makes of the base, by its format's definition. */
const EXPECTED: Readonly<Record<string, (base: Tensors, adapter: Tensors) => Expected>> = {
  kohya: () => new Map(Object.entries(tensorsOf('kohya_expected')).map(([name, tensor]) => [name, valuesOf(tensor)])),
  diffusers_peft: (base, adapter) =>
    new Map(
      [UNET, CLIP].map((module) => [
        `${module}.weight`,
        added(get(base, `${module}.weight`), product(get(adapter, `${module}.lora_B.weight`), get(adapter, `${module}.lora_A.weight`), 1)),
      ]),
    ),
  diffusers_old: (base, adapter) =>
    new Map([
      [`${UNET}.weight`, added(get(base, `${UNET}.weight`), product(get(adapter, `${UNET}.lora.up.weight`), get(adapter, `${UNET}.lora.down.weight`), 1))],
    ]),
  lycoris_loha: (base, adapter) => {
    const [left, right] = [1, 2].map((i) => product(get(adapter, `${FLAT}.hada_w${i}_a`), get(adapter, `${FLAT}.hada_w${i}_b`), 1))
    const scale = alphaOf(adapter) / (get(adapter, `${FLAT}.hada_w1_b`).shape[0] ?? 0)
    return new Map([
      [
        `${UNET}.weight`,
        added(
          get(base, `${UNET}.weight`),
          (left ?? new Float64Array(0)).map((value, i) => scale * value * (right?.[i] ?? 0)),
        ),
      ],
    ])
  },
  lycoris_dora: (base, adapter) => {
    const down = get(adapter, `${FLAT}.lora_down.weight`)
    const weight = get(base, `${UNET}.weight`)
    const sum = added(weight, product(get(adapter, `${FLAT}.lora_up.weight`), down, alphaOf(adapter) / (down.shape[0] ?? 0)))
    const [cols, lengths] = [weight.shape[1] ?? 1, valuesOf(get(adapter, `${FLAT}.dora_scale`))]
    const norms = lengths.map((_, row) => Math.sqrt(sum.subarray(row * cols, (row + 1) * cols).reduce((squares, value) => squares + value * value, 0)))
    return new Map([
      [`${UNET}.weight`, sum.map((value, i) => (value * (lengths[Math.floor(i / cols)] ?? 0)) / ((norms[Math.floor(i / cols)] ?? 1) + 2 ** -23))],
    ])
  },
  lycoris_lokr: (base, adapter) => {
    const first = get(adapter, `${FLAT}.lokr_w1`)
    const [a, b] = [get(adapter, `${FLAT}.lokr_w2_a`), get(adapter, `${FLAT}.lokr_w2_b`)]
    const second = product(a, b, alphaOf(adapter) / (b.shape[0] ?? 0))
    const [rows = 0, cols = 0] = [a.shape[0], b.shape[1]]
    const [outerRows = 0, outerCols = 0] = first.shape
    const delta = Float64Array.from({ length: outerRows * outerCols * rows * cols }, (_, i) => {
      const [row, col] = [Math.floor(i / (outerCols * cols)), i % (outerCols * cols)]
      return (valuesOf(first)[Math.floor(row / rows) * outerCols + Math.floor(col / cols)] ?? 0) * (second[(row % rows) * cols + (col % cols)] ?? 0)
    })
    return new Map([[`${UNET}.weight`, added(get(base, `${UNET}.weight`), delta)]])
  },
}

describe('adapters of other makers in the golden data', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  for (const [name, expectedOf] of Object.entries(EXPECTED)) {
    it(`merges ${name}`, async (t) => {
      const out = join(workspace(t), 'out.safetensors')
      await execute(await planMerge({ base: join(FOLDER, 'base.safetensors'), adapters: [{ path: join(FOLDER, `${name}.safetensors`) }], out }))
      const base = tensorsOf('base')
      assertMerged(readSafetensors(out), base, expectedOf(base, tensorsOf(name)))
    })
  }
})
