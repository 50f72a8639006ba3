/** `lora-merge base a b` with OUT forgotten would take adapter b for the output: that must never overwrite it. */
import { existsSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { ByteSource } from '../core/bytes.js'
import { textOf } from '../core/key-value.js'
import { printable, UsageError } from '../core/errors.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { readGgufHeader } from '../formats/gguf/header.js'
import { readHeader } from '../formats/safetensors/header.js'
import { readCheckpoint } from '../formats/torch/checkpoint.js'
import { openFile } from '../sources/files.js'
import { TORCH_EXTENSION } from '../sources/torch-model.js'
import { parseAdapter, SYNOPSIS } from './adapter-argument.js'

const ADAPTER_FILES = ['adapter_config.json', 'adapter_model.safetensors', 'adapter_model.bin', 'lit_model.pth.lora']

/** @throws UsageError when `out` is an adapter, with a weight or without, even with --force */
export async function refuseAdapterAsOutput(out: string): Promise<void> {
  const { path, weight } = parseAdapter(out, existsSync)
  if (!existsSync(path)) return
  if (weight !== undefined || (await isAdapter(path))) throw new UsageError(`OUT is missing: ${printable(out)}, the last path, is an adapter. ${SYNOPSIS}`)
}

async function isAdapter(path: string): Promise<boolean> {
  if (statSync(path).isDirectory()) return ADAPTER_FILES.some((name) => existsSync(join(path, name)))
  if (ADAPTER_FILES.includes(basename(path))) return true
  try {
    const source = await openFile(path)
    if (/\.safetensors$/i.test(path)) return holdsLora((await readHeader(source)).tensors)
    if (TORCH_EXTENSION.test(path)) return holdsLora((await readCheckpoint(source)).tensors)
    return /\.gguf$/i.test(path) && (await isGgufAdapter(source))
  } catch {
    return false // broken or unreadable: whether it may be replaced is decided elsewhere
  }
}

function holdsLora(tensors: readonly TensorInfo[]): boolean {
  return tensors.some(({ name }) => /\.lora_(?:[AB]\b|embedding_[AB]\b|up\b|down\b)/i.test(name))
}

async function isGgufAdapter(source: ByteSource): Promise<boolean> {
  return textOf((await readGgufHeader(source)).keyValues, 'general.type') === 'adapter'
}
