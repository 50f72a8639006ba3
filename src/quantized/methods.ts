/**
 * The ways of quantizing that checkpoints are stored in, one row each: how it is called, who reads it, and what happens
 * without --dequantize-base. A new one is a row and a reader.
 */
import type { Checkpoint, LogicalTensor } from './checkpoint.js'
import { readAwq } from './awq.js'
import { readBitnet } from './bitnet.js'
import { readBitsAndBytes } from './bitsandbytes.js'
import { CONVERTED_FORMATS, formatOf, readCompressedTensors } from './compressed-tensors.js'
import { readFbgemm, readFp8 } from './fp8.js'
import { readGptq } from './gptq.js'
import { readMxfp4 } from './micro-blocks.js'
import { readModelopt } from './modelopt.js'

/** A method that is read. */
export interface Method {
  /** For people. */
  readonly title: string
  readonly read: (checkpoint: Checkpoint) => LogicalTensor[] | Promise<LogicalTensor[]>
  /** Whether the reference converter dequantizes (or repacks) it too: then it converts without being asked. */
  readonly converts: (checkpoint: Checkpoint, tensors: readonly LogicalTensor[]) => boolean
  /** The blocks are those of a GGUF type, and go into it as they are. */
  readonly keepsBlocks?: boolean
  /** What names of tensors end in by which the method is known where no config tells; only of those that describe themselves. */
  readonly keys?: RegExp
}

const always = (): boolean => true
const never = (): boolean => false

/** By `quant_method`. */
export const METHODS: ReadonlyMap<string, Method> = new Map<string, Method>([
  ['fp8', { title: 'FP8', read: readFp8, converts: always, keys: /(?:_scale_inv|\.qscale_weight)$/ }],
  ['mxfp8', { title: 'MXFP8', read: readFp8, converts: never }],
  ['fbgemm_fp8', { title: 'FP8 (FBGEMM)', read: readFbgemm, converts: never }],
  ['modelopt', { title: 'ModelOpt', read: readModelopt, converts: (_, tensors) => tensors.every(isFp8) }],
  [
    'compressed-tensors',
    {
      title: 'compressed-tensors',
      read: readCompressedTensors,
      converts: (checkpoint) => CONVERTED_FORMATS.has(formatOf(checkpoint)),
    },
  ],
  ['gptq', { title: 'GPTQ', read: readGptq, converts: always }],
  ['mxfp4', { title: 'MXFP4', read: readMxfp4, converts: always, keepsBlocks: true, keys: /\.experts\.\w+_blocks$/ }],
  ['bitnet', { title: 'BitNet', read: readBitnet, converts: always }],
  ['awq', { title: 'AWQ', read: readAwq, converts: never }],
  ['bitsandbytes', { title: 'bitsandbytes', read: readBitsAndBytes, converts: never, keys: /\.quant_state\.bitsandbytes__\w+$|\.SCB$/ }],
])

/** Methods that are known by name only. */
export const KNOWN_ONLY: ReadonlyMap<string, string> = new Map([
  ['aqlm', 'AQLM'],
  ['auto-round', 'AutoRound'],
  ['eetq', 'EETQ'],
  ['fp_quant', 'FP-Quant'],
  ['higgs', 'HIGGS'],
  ['hqq', 'HQQ'],
  ['quanto', 'Quanto'],
  ['quark', 'Quark'],
  ['spqr', 'SpQR'],
  ['torchao', 'torchao'],
  ['vptq', 'VPTQ'],
])

/** What names end in that only quantized tensors have, of methods that need a config to be read. */
export const NEEDS_CONFIG = /\.(?:qweight|qzeros|weight_packed|weight_scale|weight_zero_point|weight_scale_2)$/

/** A weight whose numbers are floats of eight bits: next to nothing is lost when they are read. */
export function isFp8({ parts: [weight] }: LogicalTensor): boolean {
  return weight !== undefined && weight.dtype.startsWith('F8_')
}
