/**
 * llama-quantize as a stage of the plan: tensors and metadata of a (planned or existing) GGUF in, order, types and
 * metadata of the quantized one out. Values pass through the type that the file in between would have had: the converter's,
 * or llama-export-lora's.
 *
 * Law: llama-quant.cpp `llama_model_quantize_impl` (llama.cpp 0c1e570), by src/quantize/policy.ts.
 */
import { valueOf, type KeyValue } from '../core/key-value.js'
import { isBlockType, type QuantType } from '../core/quant-types.js'
import { tensorsOf, type RowProgram } from '../core/row-program.js'
import type { Imatrix } from '../formats/imatrix/imatrix-entry.js'
import { ALL_FILE_TYPES, type AnyFileType } from '../quantize/file-types.js'
import { quantizePlan, type QuantizeOptions, type QuantizePlan } from '../quantize/policy.js'
import { quantizeHparams, type QuantizeHparams } from '../quantize/policy-hparams.js'
import { quantizedKeyValues, withKeyValues } from '../quantize/policy-key-values.js'
import type { GgufDraft } from './gguf-layout.js'

/** What the user asked of llama-quantize. */
export interface QuantizeRequest {
  /** `copy`: every tensor as it is stored, in llama-quantize's order. */
  readonly fileType: AnyFileType | 'copy'
  readonly options: QuantizeOptions
  /** --imatrix, with --include-weights and --exclude-weights applied; `file` as the user typed it. */
  readonly imatrix?: { readonly file: string; readonly matrix: Imatrix } | undefined
  /** --override-kv */
  readonly overrides: readonly KeyValue[]
  /** Of a GGUF that is quantized: what messages call it. */
  readonly file?: string | undefined
}

const NOTHING_TO_CHOOSE: QuantizeHparams = { layers: 0, predictionLayers: 0, heads: 0, kvHeads: 0, experts: 0 }

export interface QuantizedFile {
  readonly drafts: readonly GgufDraft[]
  readonly keyValues: readonly KeyValue[]
  readonly notes: readonly string[]
}

/**
 * @param drafts  in file order; `type` is what the source stores
 * @throws ToolkitError of the policy: requantizing without leave, rows that fit no type, a wrong importance matrix
 */
export function quantizeStage(drafts: readonly GgufDraft[], keyValues: readonly KeyValue[], architecture: string, request: QuantizeRequest): QuantizedFile {
  const { fileType, options, imatrix, overrides, file } = request
  const entries = imatrix?.matrix.entries
  const plan = quantizePlan({
    fileType,
    architecture,
    hparams: fileType === 'copy' ? NOTHING_TO_CHOOSE : quantizeHparams(withKeyValues(keyValues, overrides), architecture, file),
    tensors: drafts.map(({ name, shape, type }) => ({ name, shape, storedType: type })),
    ...(entries === undefined ? {} : { importance: (name: string) => entries.get(name)?.values.length }),
    options,
  })
  return {
    drafts: plan.tensors.flatMap((tensor) => {
      const draft = drafts[tensor.index]
      return draft === undefined ? [] : [quantized(draft, tensor, entries)]
    }),
    keyValues: quantizedKeyValues(keyValues, {
      fileTypeId: fileType === 'copy' ? fileTypeOf(keyValues) : ALL_FILE_TYPES[fileType].id,
      overrides,
      ...(imatrix === undefined
        ? {}
        : {
            importance: {
              file: imatrix.file,
              datasets: imatrix.matrix.datasets,
              entryCount: imatrix.matrix.entries.size,
              chunkCount: imatrix.matrix.chunkCount,
            },
          }),
      ...(plan.layers === undefined ? {} : { pruned: { architecture, layers: plan.layers } }),
    }),
    notes: plan.notes,
  }
}

function quantized(
  draft: GgufDraft,
  { name, type, quantized: isQuantized, importance }: QuantizePlan['tensors'][number],
  entries: Imatrix['entries'] | undefined,
): GgufDraft {
  const weights = importance === undefined ? undefined : entries?.get(importance)?.values
  return {
    ...draft,
    name,
    type,
    program: isQuantized ? handedOn(draft, type) : draft.program,
    ...(weights === undefined ? {} : { importance: weights }),
  }
}

/** What the metadata says of itself. */
function fileTypeOf(keyValues: readonly KeyValue[]): number | undefined {
  const value = valueOf(keyValues, 'general.file_type')
  return value?.type === 'u32' ? value.value : undefined
}

/** The values as the file in between would give them: rounded where it is narrower than what they are made of. */
function handedOn({ type, program, applied }: GgufDraft, wanted: QuantType): RowProgram {
  // what llama-export-lora merges into a file that is not f32 is f16; a float type of ours needs no such step
  if (applied.length > 0 && type !== 'f32') return isBlockType(wanted) ? { op: 'round', input: program, type: 'f16' } : program
  if (type !== 'f16' && type !== 'bf16') return program
  return isStoredAs(program, type === 'f16' ? 'F16' : 'BF16') ? program : { op: 'round', input: program, type }
}

/** Only moves rows that are stored in the type already. */
function isStoredAs(program: RowProgram, dtype: 'F16' | 'BF16'): boolean {
  if (program.op === 'permuteRows') return isStoredAs(program.input, dtype)
  return program.op === 'read' && tensorsOf(program).every((tensor) => tensor.dtype === dtype)
}
