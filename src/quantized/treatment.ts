/**
 * What becomes of a base that is stored quantized: carried over as it is, read as plain numbers, or refused with the base to
 * use instead. Merging adds what an adapter learnt to weights; those of four bits are no longer the ones that most adapters
 * learnt on, so that is done only when asked for.
 */
import { nameList, printable, UnsupportedError } from '../core/errors.js'
import type { QuantizedModel } from './open.js'

/** What is to be done with a base. */
export interface Task {
  /** As the user named it. */
  readonly base: string
  /** `merge` writes a model of the same kind, `convert` a GGUF, `vocabulary` one without tensors. */
  readonly kind: 'merge' | 'convert' | 'vocabulary'
  /** Base tensors that adapters change. */
  readonly changed: ReadonlySet<string>
  /** --dequantize-base */
  readonly dequantize: boolean
  /** Models that the adapters, or the base itself, say that they come from. */
  readonly origins: readonly string[]
}

export interface Treatment {
  readonly as: 'stored' | 'plain'
  /** Whether blocks that a GGUF can have go into it as they are. */
  readonly keepsBlocks: boolean
  readonly decisions: readonly string[]
  readonly warnings: readonly string[]
}

/** @throws UnsupportedError when it is only done when asked for */
export function treatmentOf({ title, tensors, isFp8, converts, keepsBlocks }: QuantizedModel, task: Task): Treatment {
  const touched = [...task.changed].filter((name) => tensors.has(name))
  const asIs: Treatment = { as: 'stored', keepsBlocks: false, decisions: [], warnings: [] }
  if (task.kind === 'vocabulary') return asIs
  if (task.dequantize) return { ...asIs, as: 'plain', decisions: [dequantizedNote(title, tensors.size, task.kind)], warnings: isFp8 ? [] : [warning(title)] }
  if (touched.length > 0 && !isFp8) throw refusal(title, `the adapter changes ${nameList(touched, 1)}, which is stored so`, 'merge into', task)
  if (touched.length > 0) return { ...asIs, as: 'plain', decisions: [dequantizedNote(title, tensors.size, task.kind)] }
  if (task.kind === 'merge')
    return { ...asIs, decisions: [`the base is quantized (${title}); no adapter changes its ${tensors.size} quantized tensors: they stay as they are`] }
  if (!converts) throw refusal(title, 'the reference converter does not read it', 'convert', task)
  const kept = [`${tensors.size} quantized tensors of the base (${title}) go into the GGUF as they are stored`]
  return { ...asIs, as: 'plain', keepsBlocks: true, decisions: keepsBlocks ? kept : [dequantizedNote(title, tensors.size, task.kind)] }
}

function dequantizedNote(title: string, count: number, kind: Task['kind']): string {
  const config = kind === 'merge' ? ', and quantization_config is left out of config.json' : ''
  return `${count === 1 ? '1 quantized tensor' : `${count} quantized tensors`} of the base (${title}) read as plain numbers${config}`
}

function warning(title: string): string {
  return `the base's weights are what ${title} left of them: right for an adapter that was trained on them (QLoRA), else less exact than the 16-bit base`
}

function refusal(title: string, why: string, doing: string, { base, origins }: Task): UnsupportedError {
  const named = [...new Set(origins.map(withoutQuantization))]
  const instead = named.length === 0 ? 'the 16-bit model that it was made from' : `the 16-bit base instead (${named.map(printable).join(' or ')}?)`
  return new UnsupportedError(
    `the base is quantized (${title}): ${why}. Use ${instead}, or --dequantize-base to ${doing} what quantization left of the weights.`,
    {
      file: base,
    },
  )
}

/** Endings by which repositories name quantized copies. */
const QUANTIZED_ENDING =
  /(?:[-_.](?:unsloth|bnb|4bit|8bit|int4|int8|gptq|awq|fp8|nvfp4|mxfp4|hqq|aqlm|eetq|quantized|dynamic|w\d+a\d+|g\d+|\dbits?|nf4|fp4|autoround|gemm|marlin))+$/i

/** `unsloth/Llama-3.2-1B-bnb-4bit` -> `unsloth/Llama-3.2-1B` */
export function withoutQuantization(name: string): string {
  return name.replace(QUANTIZED_ENDING, '')
}
