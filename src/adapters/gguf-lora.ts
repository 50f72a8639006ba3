/**
 * A LoRA in GGUF, as llama.cpp serves it -> modules under their GGUF names; whoever binds them knows where these lie.
 *
 *   T.lora_a (r x in), T.lora_b (out x r)      of a matrix T: `blk.0.attn_q.weight`; rows of B in the file's order
 *   T.lora_a (E x r x in), T.lora_b (E x out x r)    of stacked experts
 *   token_embd.weight.lora_a (vocabulary x r), .lora_b (dim x r)
 *   T_norm.weight                              trained as a whole (mergekit); llama.cpp itself passes over it
 *
 * Law: llama.cpp 0c1e570 convert_lora_to_gguf.py, src/llama-adapter.cpp: scale is alpha / r, or 1 without alpha.
 */
import { FormatError, MismatchError, quoted, UnsupportedError, UsageError } from '../core/errors.js'
import { textOf, valueOf } from '../core/key-value.js'
import { shapeText } from '../core/shape.js'
import { fromQuantType } from '../core/stored-types.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { readGgufHeader } from '../formats/gguf/header.js'
import { onlyFile, type AdapterFile, type AdapterFolder, type AdapterModule } from './adapter-file.js'
import type { FactorRole } from './key-suffixes.js'
import { pairFactors, wholeModules } from './paired-factors.js'

/** @throws UsageError for models, UnsupportedError for other kinds of adapters, MismatchError for tensors without a partner */
export async function openGgufLora(folder: AdapterFolder, weightsName: string | undefined): Promise<AdapterFile> {
  const name = weightsName ?? onlyFile(folder, /\.gguf$/i)
  const source = await folder.open(name)
  const { keyValues, tensors: stored } = await readGgufHeader(source)
  const place = { file: source.name }
  const kind = textOf(keyValues, 'general.type')
  const architecture = textOf(keyValues, 'general.architecture')
  if (architecture === 'controlvector')
    throw new UnsupportedError('is a control vector: it is added to activations, not to weights, and cannot be merged.', place)
  if (kind !== 'adapter') {
    const what =
      kind === undefined || kind === 'model'
        ? 'is a GGUF model, not an adapter: the base comes first, then the adapters.'
        : `is a GGUF of type ${quoted(kind)}, no adapter.`
    throw new UsageError(what, place)
  }
  const type = textOf(keyValues, 'adapter.type')
  if (type !== 'lora') throw new UnsupportedError(`is a GGUF adapter of type ${type === undefined ? 'none' : quoted(type)}; only lora can be merged.`, place)
  if (valueOf(keyValues, 'adapter.alora.invocation_tokens') !== undefined)
    throw new UnsupportedError(
      'is an activated LoRA (adapter.alora.invocation_tokens), which acts only after its invocation tokens: serve it with llama.cpp.',
      place,
    )
  if (architecture === undefined) throw new FormatError('has no general.architecture.', place)
  const alpha = alphaOf(valueOf(keyValues, 'adapter.lora.alpha'), source.name)
  const tensors = stored.map((one): TensorInfo => {
    const { name: tensor, type: quantType, shape, offset, byteLength } = one
    return { name: tensor, dtype: fromQuantType(quantType), shape, source: source.descriptor, offset, byteLength }
  })
  const { modules: pairs, rest } = pairFactors(tensors, { A: 'lora_a', B: 'lora_b' }, source.name)
  const [other] = rest.filter(({ name: tensor }) => !tensor.endsWith('_norm.weight'))
  if (other !== undefined) throw new MismatchError('is neither lora_a nor lora_b of a tensor: it would be left over.', { ...place, tensor: other.name })
  if (pairs.size === 0) throw new MismatchError('holds no LoRA tensors at all: nothing would be merged.', place)
  const modules = [...pairs].map(([target, factors]) => moduleOf(target, factors, alpha, source.name))
  const norms = wholeModules(rest).modules
  return {
    label: folder.label,
    kind: 'GGUF LoRA',
    modules: [...modules, ...norms],
    fanInFanOut: false,
    ggufArchitecture: architecture,
    files: [name],
    facts: { format: 'GGUF LoRA', architecture, alpha, modules: modules.map(({ name: module, rank, scale }) => ({ module, rank, scale })) },
    notes: norms.length === 0 ? [] : [`${norms.length} norms of the adapter replace the base's; llama.cpp passes over them when it serves the adapter.`],
  }
}

function alphaOf(value: ReturnType<typeof valueOf>, file: string): number {
  if (value === undefined) return 0 // as llama.cpp takes it
  if (value.type === 'f32' && Number.isFinite(value.value)) return value.value
  throw new FormatError('adapter.lora.alpha must be a finite f32.', { file })
}

function moduleOf(target: string, factors: ReadonlyMap<FactorRole, TensorInfo>, alpha: number, file: string): AdapterModule {
  const [a, b] = [factors.get('A')?.shape ?? [], factors.get('B')?.shape ?? []]
  const isEmbedding = target === 'token_embd.weight'
  const rank = b.at(-1) ?? 1
  const ranks = isEmbedding ? a.at(-1) : a.at(-2)
  if (ranks !== rank || a.length !== b.length || a.length > 3 || (a.length === 3 && a[0] !== b[0]))
    throw new MismatchError(`and its partner have the shapes ${shapeText(a)} and ${shapeText(b)}, which cannot be multiplied.`, {
      file,
      tensor: factors.get('A')?.name ?? '',
    })
  const scale = alpha === 0 ? 1 : alpha / rank
  if (!Number.isFinite(Math.fround(scale))) throw new FormatError(`adapter.lora.alpha ${alpha} gives a scale too large for f32.`, { file })
  const [, name = target] = /^(.+)\.weight$/s.exec(target) ?? []
  return { kind: 'gguf', name, factors, rank, alpha, scale }
}
