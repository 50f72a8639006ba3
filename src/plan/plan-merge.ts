/**
 * Plans a merged model in the base's own form: a Hugging Face folder, or one file for safetensors or torch. Needs no knowledge of
 * architectures: an adapter's target names the base tensor, everything else is carried over as it is.
 */
import { elementBytes, isDtype, isPlainFloat, type Dtype, type PlainFloat } from '../core/dtypes.js'
import { UnsupportedError, UsageError } from '../core/errors.js'
import type { Model, Shard } from '../core/model.js'
import { programShape } from '../core/row-program.js'
import { elementCount } from '../core/shape.js'
import type { EncodedType } from '../core/arithmetic.js'
import { compareNames } from '../formats/safetensors/name-order.js'
import { encodeShardIndex } from '../formats/safetensors/shard-index.js'
import type { WeightedAdapter } from '../merge/combine.js'
import type { CombineRule } from '../merge/combine-rule.js'
import { withIdentity } from './identity.js'
import { mergeDecisions, mergeModel, mergeWarnings, type ConfigChanges, type MergedTensor } from './merged-tensors.js'
import type { Plan, PlannedFile, PlannedTensor, SideFile, TensorProgram } from './plan.js'
import { cutShards, type PlannedShard } from './shards.js'
import { sentenceModuleFiles } from './sentence-modules.js'
import { copiedFiles, mergedConfig, type TokenizerFiles } from './side-files.js'
import { tileSize } from './tiles.js'
import { outputNames } from './weight-names.js'
import { layOutWeights } from './weights-file.js'

export interface MergeRequest {
  readonly base: Model
  readonly adapters: readonly WeightedAdapter[]
  /** How several adapters become one change; unless given their sum. */
  readonly combine?: CombineRule | undefined
  /** Where it goes: a folder, or one file in a folder. */
  readonly output: { readonly kind: 'folder'; readonly root: string } | { readonly kind: 'safetensors' | 'torch'; readonly root: string; readonly name: string }
  /** Undefined: each tensor keeps the type it has. */
  readonly dtype?: PlainFloat | undefined
  /** Bytes of tensor data in one file. Undefined: the base's own shards. */
  readonly maxShardBytes?: number | undefined
  /** Where tokenizer files are taken from, when not from the base. */
  readonly tokenizer?: TokenizerFiles | undefined
  /** Where LitGPT's prompt style is taken from, when not from the base. */
  readonly promptStyle?: TokenizerFiles | undefined
  readonly receipt: string | undefined
  readonly clampOverflow?: boolean
  readonly tileElements?: number | undefined
  readonly options: Plan['options']
  /** Decisions that were taken before. */
  readonly decisions?: readonly string[]
}

const ENCODED: Readonly<Record<PlainFloat, EncodedType>> = { F32: 'f32', F16: 'f16', BF16: 'bf16' }

/** Plans a merge. Reads side files, no weights. @throws ToolkitError */
export async function planMerge(request: MergeRequest): Promise<Plan> {
  const { base, output } = request
  const merged = mergeModel(base, request.adapters, { combine: request.combine })
  const dtypeOf = ({ base: { name, dtype, source } }: MergedTensor): Dtype => {
    if (!isDtype(dtype))
      throw new UnsupportedError(`is ${dtype}, which neither safetensors nor torch has; merge a GGUF into a .gguf.`, { file: source.name, tensor: name })
    return request.dtype !== undefined && isPlainFloat(dtype) ? request.dtype : dtype
  }
  const shards = shardsOf(request, merged.tensors, dtypeOf)
  const { files, tensors } = layOut(shards, merged.tensors, dtypeOf, request.tileElements)
  const decisions = [...(request.decisions ?? []), ...mergeDecisions(merged), ...merged.notes, ...dtypeNotes(request, merged.tensors)]
  return {
    kind: output.kind,
    root: output.root,
    target: output.kind === 'folder' ? output.root : output.name,
    base: base.label,
    adapters: merged.adapters,
    files,
    tensors,
    sideFiles: output.kind === 'folder' ? await sideFiles(request, merged.config, files, tensors) : [],
    receipt: request.receipt,
    keyValues: [],
    clampOverflow: request.clampOverflow ?? false,
    decisions,
    warnings: mergeWarnings(request.adapters, merged),
    options: request.options,
  }
}

function shardsOf(
  { base, output, maxShardBytes }: MergeRequest,
  tensors: ReadonlyMap<string, MergedTensor>,
  dtypeOf: (tensor: MergedTensor) => Dtype,
): PlannedShard[] {
  const named = (metadata: ReadonlyMap<string, string>): ReadonlyMap<string, string> => {
    if (base.component !== undefined) return metadata.size > 0 ? metadata : new Map([['format', 'pt']])
    // only a folder with a config can become a GGUF, and ask for its name
    return output.kind === 'folder' && base.config !== undefined ? withIdentity(metadata, base) : metadata
  }
  const all = { metadata: named(new Map(base.shards.flatMap((shard) => [...shard.metadata]))), tensorNames: [...tensors.keys()] }
  if (output.kind !== 'folder') return [{ ...all, fileName: output.name }]
  if (base.litgpt === true) return litGptFiles(all, maxShardBytes)
  if (maxShardBytes !== undefined) return cutShards(all, maxShardBytes, (name) => byteLength(tensors.get(name), dtypeOf), outputNames(base))
  // one file has the name that every reader looks for; several keep theirs, for the reference orders tensors by them
  if (base.shards.length === 1) return [{ ...all, fileName: outputNames(base).whole, tensorNames: withNewTensors(base, tensors)[0]?.tensorNames ?? [] }]
  return withNewTensors(base, tensors).map((shard) => ({ ...shard, fileName: safetensorsName(shard.fileName), metadata: named(shard.metadata) }))
}

/** What LitGPT loads, and the same tensors for everything else, which reads no pickles. */
function litGptFiles(all: Omit<PlannedShard, 'fileName'>, maxShardBytes: number | undefined): PlannedShard[] {
  if (maxShardBytes !== undefined) throw new UsageError('a LitGPT checkpoint is one file, which --max-shard-size cannot cut.')
  return ['lit_model.pth', 'model.safetensors'].map((fileName) => ({ ...all, fileName }))
}

/** The base's own files, with tensors that it lacks in the last one. */
function withNewTensors({ shards }: Model, tensors: ReadonlyMap<string, MergedTensor>): Shard[] {
  const known = new Set(shards.flatMap(({ tensorNames }) => tensorNames))
  const added = [...tensors.keys()].filter((name) => !known.has(name))
  if (added.length === 0) return [...shards]
  return shards.map((shard, i) => (i + 1 < shards.length ? shard : { ...shard, tensorNames: [...shard.tensorNames, ...added].sort(compareNames) }))
}

/** `pytorch_model-00001-of-00002.bin` becomes `model-00001-of-00002.safetensors`, as transformers would write it. */
function safetensorsName(fileName: string): string {
  return fileName.endsWith('.bin') ? `${fileName.replace(/^pytorch_model/, 'model').slice(0, -'.bin'.length)}.safetensors` : fileName
}

function layOut(
  shards: readonly PlannedShard[],
  merged: ReadonlyMap<string, MergedTensor>,
  dtypeOf: (tensor: MergedTensor) => Dtype,
  tileElements: number | undefined,
): { files: PlannedFile[]; tensors: PlannedTensor[] } {
  const files: PlannedFile[] = []
  const tensors: PlannedTensor[] = []
  for (const shard of shards) {
    const own = shard.tensorNames.flatMap((name) => merged.get(name) ?? [])
    const entries = own.map((tensor) => ({ name: tensor.base.name, dtype: dtypeOf(tensor), shape: tensor.base.shape }))
    const { file, offsets } = layOutWeights(shard.fileName, entries, shard.metadata, tensors.length)
    const byName = new Map(own.map((tensor) => [tensor.base.name, tensor]))
    for (const [name, offset] of offsets) {
      const tensor = byName.get(name)
      if (tensor !== undefined) tensors.push(plannedTensor(tensor, dtypeOf(tensor), files.length, offset, tileElements))
    }
    files.push(file)
  }
  return { files, tensors }
}

function plannedTensor({ base, program, applied }: MergedTensor, dtype: Dtype, file: number, offset: number, tileElements: number | undefined): PlannedTensor {
  const unchanged = applied.length === 0 && dtype === base.dtype && program.op === 'read'
  const made: TensorProgram = unchanged || !isPlainFloat(dtype) ? { kind: 'bytes', tensor: base } : { kind: 'rows', rows: program, encode: ENCODED[dtype] }
  const bytes = made.kind === 'bytes' ? base.byteLength : programSize(made) * elementBytes(dtype)
  return {
    name: base.name,
    type: dtype,
    shape: base.shape,
    file,
    offset,
    byteLength: bytes,
    program: made,
    tile: tileSize(made, tileElements),
    from: [base.name],
    applied,
  }
}

function programSize(program: Extract<TensorProgram, { kind: 'rows' }>): number {
  const { rows, cols } = programShape(program.rows)
  return rows * cols
}

function byteLength(tensor: MergedTensor | undefined, dtypeOf: (tensor: MergedTensor) => Dtype): number {
  if (tensor === undefined) return 0
  const dtype = dtypeOf(tensor)
  return dtype === tensor.base.dtype ? tensor.base.byteLength : elementCount(tensor.base.shape) * elementBytes(dtype)
}

async function sideFiles(
  { base, dtype, tokenizer, promptStyle, receipt }: MergeRequest,
  changes: ConfigChanges,
  files: readonly PlannedFile[],
  tensors: readonly PlannedTensor[],
): Promise<SideFile[]> {
  const outdated = base.dequantized?.files ?? []
  const written = new Set([...files.map(({ name }) => name), ...(receipt === undefined ? [] : [receipt]), 'config.json', ...outdated])
  const others = [tokenizer, promptStyle].flatMap((one) => one ?? [])
  const side = await copiedFiles(base.folder, others, written)
  if (base.folder !== undefined) side.push(...(await sentenceModuleFiles(base.folder)))
  if (base.folder !== undefined && base.config !== undefined)
    side.push(await mergedConfig(base.folder, { dtype, changes, removed: base.dequantized?.configFields ?? [] }))
  if (files.length > 1 && base.litgpt !== true)
    side.push({ name: outputNames(base).index, stage: 'after', content: { kind: 'text', text: indexText(files, tensors) } })
  return side
}

function indexText(files: readonly PlannedFile[], tensors: readonly PlannedTensor[]): string {
  const weightMap = new Map(tensors.map(({ name, file }) => [name, files[file]?.name ?? '']))
  const totalSize = tensors.reduce((sum, tensor) => sum + tensor.byteLength, 0)
  const parameters = tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0)
  return new TextDecoder().decode(encodeShardIndex(weightMap, totalSize, parameters))
}

function dtypeNotes({ dtype }: MergeRequest, tensors: ReadonlyMap<string, MergedTensor>): string[] {
  if (dtype === undefined) return []
  const kept = [...tensors.values()].filter(({ base }) => !isPlainFloat(base.dtype))
  return kept.length === 0 ? [] : [`${kept.length} tensors that are neither F32, F16 nor BF16 keep their type`]
}
