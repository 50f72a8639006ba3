/** `lora-merge base a b` with OUT forgotten would take adapter b for the output: that must never overwrite it. */
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { UsageError } from '../core/errors.js'
import { readHeader } from '../formats/safetensors/header.js'
import { openFile } from '../sources/files.js'

/** @throws UsageError when `out` is an adapter, even with --force */
export async function refuseAdapterAsOutput(out: string): Promise<void> {
  if (!existsSync(out)) return
  const isAdapter = statSync(out).isDirectory() ? ['adapter_config.json', 'adapter_model.safetensors', 'adapter_model.bin'].some((name) => existsSync(join(out, name))) : await holdsLora(out)
  if (isAdapter) throw new UsageError(`OUT is missing: ${out}, the last path, is an adapter. lora-merge BASE ADAPTER[@WEIGHT]... OUT`)
}

async function holdsLora(path: string): Promise<boolean> {
  if (!/\.safetensors$/i.test(path)) return false
  try {
    return (await readHeader(await openFile(path))).tensors.some(({ name }) => /\.lora_[AB]\b/i.test(name))
  } catch {
    return false // no safetensors file: whether it may be replaced is decided elsewhere
  }
}
