/**
 * Opens the kernels: kernels.wasm, which the build puts beside this file, with a memory of its own for each worker. Where there is no WebAssembly
 * with SIMD, no file or no memory, there are no kernels, and the plain-JS twins give the same bytes.
 */
import { readFileSync } from 'node:fs'
import { Arena } from './arena.js'
import type { KernelExports } from './exports.js'
import { STAGE_BYTES } from './placing.js'

const PAGE_BYTES = 65_536
const MAX_PAGES = 65_536
/** What lies below the stage: scratch and tables. */
const LOW_BYTES = PAGE_BYTES

/** Kernels and the memory they work on. */
export interface Kernels {
  readonly run: KernelExports
  readonly arena: Arena
  /** Where arrays from outside the arena come by. */
  readonly stage: Uint8Array
}

/** What is used of it here; TypeScript declares it only for browsers. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Memory: new (size: { readonly initial: number; readonly maximum: number }) => { readonly buffer: ArrayBuffer }
  readonly Instance: new (module: object, imports: object) => { readonly exports: object }
}

let compiled: object | undefined

/**
 * Opens kernels with a memory of their own.
 * @param bytes  that the arena shall hold
 * @returns undefined where they cannot run
 */
export function openKernels(bytes: number): Kernels | undefined {
  const pages = Math.min(MAX_PAGES, Math.ceil((LOW_BYTES + STAGE_BYTES + bytes) / PAGE_BYTES))
  try {
    compiled ??= new WebAssembly.Module(readFileSync(new URL('./kernels.wasm', import.meta.url)))
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages })
    const run = new WebAssembly.Instance(compiled, { env: { memory } }).exports as KernelExports
    const { buffer } = memory
    return { run, arena: new Arena(buffer, LOW_BYTES + STAGE_BYTES, buffer.byteLength), stage: new Uint8Array(buffer, LOW_BYTES, STAGE_BYTES) }
  } catch {
    return undefined
  }
}

/** Bytes that begin at a page of the machine's memory, for reads that want that. Of a memory of their own; never freed. */
export function pageAlignedBytes(byteLength: number): Uint8Array<ArrayBuffer> {
  const pages = Math.ceil(byteLength / PAGE_BYTES)
  return new Uint8Array(new WebAssembly.Memory({ initial: pages, maximum: pages }).buffer, 0, byteLength)
}
