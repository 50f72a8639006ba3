/**
 * LoRA on one matrix of all experts of a layer -> deltas, whether the base stores the experts apart or fused: MLX-LM's
 * SwitchLinear, and the stacked experts of GGUF. A (experts x rank x inputs), B (experts x out x rank).
 *
 * Law: mlx-lm tuner/lora.py `LoRASwitchLinear`; ggml's mul_mat_id of a LoRA.
 */
import type { Delta, LowRank } from '../../core/delta.js'
import { MismatchError, quoted, UnsupportedError } from '../../core/errors.js'
import { rowSlice } from '../../core/matrix-view.js'
import { shapeText } from '../../core/shape.js'
import type { AdapterModule } from '../adapter-file.js'
import type { BoundParameter } from './bind-experts.js'
import { TRANSPOSED_IN_CLASS } from './expert-layouts.js'
import { expertPairs, placeOf, tensorOf } from './factors.js'
import type { ModulePaths } from '../module-paths.js'
import { findParameter, type StoredParameter } from './stored-parameters.js'

/** The parameters that a part may lie in: its position among their parts, and how many these are. */
const HOMES: ReadonlyMap<string, readonly (readonly [parameter: string, position: number, parts: number])[]> = new Map([
  ['gate_proj', [['gate_up_proj', 0, 2]]],
  ['up_proj', [['gate_up_proj', 1, 2], ['up_proj', 0, 1]]], // prettier-ignore
  ['down_proj', [['down_proj', 0, 1]]],
])

/**
 * @param types  model types of the base's config, when it has one
 * @throws MismatchError when the base has no such experts, or others; UnsupportedError when it stores them (in x out)
 */
export function bindSwitch(module: AdapterModule, paths: ModulePaths, types: ReadonlySet<string> | undefined): BoundParameter {
  const { part = '' } = module
  const place = placeOf(module)
  const transposedType = [...(types ?? [])].find((type) => TRANSPOSED_IN_CLASS.has(type))
  if (transposedType !== undefined)
    throw new UnsupportedError(
      `is of experts that models of type ${quoted(transposedType)} store in another order: not yet supported; merge it where it was trained.`,
      place,
    )
  for (const [parameter, position, parts] of HOMES.get(part) ?? []) {
    const stored = findParameter(module.name, parameter, paths, place)
    if (stored !== undefined) return { deltas: deltasOf(module, stored, position, parts), assumesPacking: false }
  }
  throw new MismatchError(
    `its experts ${quoted(`${module.name}.*.${part}`)} are not in the base, neither apart nor fused. Is it the base that the adapter was trained on?`,
    place,
  )
}

function deltasOf(module: AdapterModule, stored: StoredParameter, position: number, parts: number): Delta[] {
  const pairs = stackedPairs(module)
  const rows = stored.rows / parts
  const { B: firstB, A: firstA } = pairs[0] ?? {}
  if (pairs.length !== stored.experts || firstB?.rows !== rows || firstA?.cols !== stored.cols)
    throw new MismatchError(
      `its updates are ${shapeText([pairs.length, firstB?.rows ?? 0, firstA?.cols ?? 0])}, but the base has ${shapeText([stored.experts, rows, stored.cols])} there (experts, outputs, inputs). Is it the base that the adapter was trained on?`,
      placeOf(module),
    )
  if (!stored.isApart && stored.rows === stored.cols)
    throw new UnsupportedError(
      'is of fused experts with square matrices, which do not tell whether the base has them (out x in): not yet supported.',
      placeOf(module),
    )
  const common = { module: `${module.name}.${module.part}`, rank: module.rank, scale: module.scale }
  const [start, end] = [position * rows, (position + 1) * rows]
  return stored.regions.flatMap(({ tensor, expert, first, rows: own }): Delta[] => {
    const [from, to] = [Math.max(start, first), Math.min(end, first + own)]
    if (from >= to) return []
    const slices = (pair: LowRank): (LowRank | { zeros: number })[] => [
      ...(from > first ? [{ zeros: from - first }] : []),
      { B: rowSlice(pair.B, from - start, to - from), A: pair.A },
      ...(to < first + own ? [{ zeros: first + own - to }] : []),
    ]
    const chosen = expert === undefined ? pairs : pairs.slice(expert, expert + 1)
    const all = chosen.flatMap(slices)
    const [only] = all
    if (all.length === 1 && only !== undefined && 'B' in only) return [{ variant: 'lora', ...common, target: tensor.name, ...only }]
    return [{ variant: 'grouped', ...common, target: tensor.name, along: 'rows', parts: all }]
  })
}

function stackedPairs(module: AdapterModule): LowRank[] {
  const [A, B] = [tensorOf(module, 'A'), tensorOf(module, 'B')]
  const [experts = 0, rank = 0] = A.shape
  if (A.shape.length !== 3 || B.shape.length !== 3 || B.shape[0] !== experts || B.shape[2] !== rank)
    throw new MismatchError(
      `and its partner have the shapes ${shapeText(A.shape)} and ${shapeText(B.shape)}; (experts x rank x inputs) and (experts x out x rank) are wanted.`,
      placeOf(module),
    )
  return expertPairs(A, B)
}
