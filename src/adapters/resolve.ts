/**
 * Modules of an adapter + tensors of a base -> deltas. Strict accounting: every module finds exactly one weight whose
 * shape is that of B·A, no two the same, or an error names the adapter's tensor and the nearest names of the base.
 *
 * No table of architectures is needed: a module's path plus `.weight` names the tensor (module-paths.ts has the rest).
 */
import { isPlainFloat } from '../core/dtypes.js'
import { MismatchError, quoted, UnsupportedError, nameList, type Place } from '../core/errors.js'
import type { Adapter, LoraDelta } from '../core/delta.js'
import { shapeText } from '../core/shape.js'
import type { TensorInfo } from '../core/tensor-info.js'
import type { AdapterFile, AdapterFolder, AdapterModule } from './adapter-file.js'
import { openAdapterFile } from './formats.js'
import { ModulePaths } from './module-paths.js'

const TIED_HEADS: ReadonlySet<string> = new Set(['lm_head', 'embed_out'])
const EMBEDDING = /(?:^|\.)(?:embed_tokens|wte|word_embeddings|embed_in|shared|tok_embeddings)\.weight$/

/**
 * Opens an adapter of any known format and binds it to a base.
 * @param folder       the folder that the user named, or that holds the file
 * @param weightsName  name of the weights file in it, when the user named a file
 * @throws what openAdapterFile and resolveTargets throw
 */
export async function openAdapter(folder: AdapterFolder, base: ReadonlyMap<string, TensorInfo>, weightsName?: string): Promise<Adapter> {
  return resolveTargets(await openAdapterFile(folder, weightsName), base)
}

/**
 * Binds an adapter to a base.
 * @param base  by name; only names, shapes and dtypes are looked at
 * @throws MismatchError when a module has no tensor, several, or one of another shape; UnsupportedError for bases whose
 *         weights are quantized or stored transposed
 */
export function resolveTargets(file: AdapterFile, base: ReadonlyMap<string, TensorInfo>): Adapter {
  const paths = new ModulePaths(base)
  const takenBy = new Map<string, AdapterModule>()
  const squares: AdapterModule[] = []
  let storedPlain = false // some matrix that is not square shows how the base stores them
  let renamed: LoraDelta | undefined
  const deltas = file.modules.map((module): LoraDelta => {
    const place = placeOf(module)
    const weight = paths.find(module.name, place) ?? notFound(module, base, paths)
    const other = takenBy.get(weight.name)
    if (other !== undefined) throw new MismatchError(`would change ${quoted(weight.name)}, which ${quoted(other.A.name)} changes already.`, place)
    takenBy.set(weight.name, module)
    if (checkShape(module, weight) === 'square') squares.push(module)
    else storedPlain = true
    const { name, A, B, rank, scale } = module
    const delta: LoraDelta = { variant: 'lora', target: weight.name, module: name, A, B, rank, scale }
    if (weight.name !== `${name}.weight`) renamed ??= delta
    return delta
  })
  checkSquares(file, squares, takenBy, storedPlain, base)
  const note = renamed && `Module names differ from the base's: ${quoted(renamed.module)} is ${quoted(renamed.target)}.`
  return { label: file.label, kind: file.kind, deltas, files: file.files, notes: note === undefined ? file.notes : [...file.notes, note] }
}

function placeOf(module: AdapterModule): Place {
  return { file: module.A.source.name, tensor: module.A.name }
}

function notFound(module: AdapterModule, base: ReadonlyMap<string, TensorInfo>, paths: ModulePaths): never {
  const place = placeOf(module)
  if (base.has(`${module.name}.qweight`)) {
    throw new UnsupportedError(`the base's ${quoted(`${module.name}.qweight`)} is quantized (GPTQ or AWQ): use the 16-bit base that it was made from.`, place)
  }
  const leaf = module.name.slice(module.name.lastIndexOf('.') + 1)
  const embedding = TIED_HEADS.has(leaf) ? [...base.keys()].find((name) => EMBEDDING.test(name)) : undefined
  if (embedding !== undefined) {
    throw new UnsupportedError(
      `the base ties its output to ${quoted(embedding)} and has no ${quoted(`${module.name}.weight`)}: LoRA on one side of tied embeddings is not yet supported; untie the base first.`,
      place,
    )
  }
  const nearest = paths.nearest(module.name)
  const near = nearest.length === 0 ? 'the base has no tensors' : `nearest are ${nameList(nearest)}`
  throw new MismatchError(`its module ${quoted(module.name)} has no weight in the base; ${near}. Is it the base that the adapter was trained on?`, place)
}

/** @returns whether the shape leaves open how the base stores its matrices */
function checkShape({ A, B }: AdapterModule, weight: TensorInfo): 'plain' | 'square' {
  const [columns, rows] = [A.shape[1], B.shape[0]]
  const place = { file: A.source.name, tensor: A.name }
  if (!isPlainFloat(weight.dtype)) {
    throw new UnsupportedError(
      `the base's ${quoted(weight.name)} is ${weight.dtype} (quantized): only F32, F16 and BF16 can be merged into; use the 16-bit base.`,
      place,
    )
  }
  const [out, inputs] = weight.shape
  const fits = weight.shape.length === 2
  if (fits && out === rows && inputs === columns) return rows === columns ? 'square' : 'plain'
  if (fits && out === columns && inputs === rows) {
    throw new UnsupportedError(
      `the base stores ${quoted(weight.name)} transposed, in x out ${shapeText(weight.shape)} (Conv1D, fan_in_fan_out): not yet supported; merge it with PEFT.`,
      place,
    )
  }
  throw new MismatchError(
    `B·A is ${shapeText([rows ?? 0, columns ?? 0])} (A ${shapeText(A.shape)}, B ${shapeText(B.shape)}), but the base's ${quoted(weight.name)} is ${shapeText(weight.shape)}. Is it the base that the adapter was trained on?`,
    place,
  )
}

/** A square matrix does not tell whether it is stored transposed; a wrong guess would merge B·A where its transpose belongs. */
function checkSquares(
  file: AdapterFile,
  squares: readonly AdapterModule[],
  takenBy: ReadonlyMap<string, AdapterModule>,
  storedPlain: boolean,
  base: ReadonlyMap<string, TensorInfo>,
): void {
  if (squares.length === 0) return
  const transposedLists = listsStoredTransposed(base)
  const asked = new Set(squares)
  for (const [name, module] of takenBy) {
    if (!asked.has(module)) continue
    if (transposedLists.has(listOf(name))) {
      throw new UnsupportedError(
        `the base stores the matrices next to ${quoted(name)} transposed (Conv1D): not yet supported; merge it with PEFT.`,
        placeOf(module),
      )
    }
    if (file.fanInFanOut && !storedPlain) {
      throw new MismatchError(
        `fan_in_fan_out is true, but the base's ${quoted(name)} is square and does not tell whether it is stored transposed: set fan_in_fan_out to false in adapter_config.json when the base uses nn.Linear.`,
        placeOf(module),
      )
    }
  }
}

/** Lists of layers in which a bias has the length of its weight's second dimension: GPT-2's Conv1D. */
function listsStoredTransposed(base: ReadonlyMap<string, TensorInfo>): Set<string> {
  const lists = new Set<string>()
  for (const [name, weight] of base) {
    if (!name.endsWith('.weight') || weight.shape.length !== 2) continue
    const [rows, columns] = weight.shape
    const bias = base.get(`${name.slice(0, -'weight'.length)}bias`)
    if (bias?.shape.length === 1 && rows !== columns && bias.shape[0] === columns) lists.add(listOf(name))
  }
  return lists
}

/** `transformer.h` of `transformer.h.3.attn.c_proj.weight`: what stands before the first number. */
function listOf(name: string): string {
  const parts = name.split('.')
  const number = parts.findIndex((part) => /^\d+$/.test(part))
  return number < 0 ? name : parts.slice(0, number).join('.')
}
