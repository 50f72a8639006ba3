/** The hostile corpus: its manifest, and its folders as they were made. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GOLDEN } from './paths.js'

export interface HostileCase {
  readonly path: string
  readonly format: string
  readonly kind?: string
  readonly expect: 'accept' | 'reject'
  readonly must: 'hard' | 'policy'
  readonly reason: string
  readonly hint?: string
  /** A file that is there only if a payload ran. */
  readonly marker?: string
  readonly files?: readonly string[]
  readonly tensors?: Readonly<Record<string, { readonly dtype: string; readonly shape: readonly number[]; readonly sha256: string }>>
  readonly metadata?: Readonly<Record<string, string>> | null
}

export const HOSTILE = join(GOLDEN ?? '', 'hostile')

/** The cases that `wanted` chooses; none where there is no golden data. */
export function hostileCases(wanted: (one: HostileCase) => boolean): readonly HostileCase[] {
  if (GOLDEN === undefined) return []
  const manifest = JSON.parse(readFileSync(join(HOSTILE, 'manifest.json'), 'utf8')) as { files: readonly HostileCase[] }
  return manifest.files.filter(wanted)
}

/**
 * Copies a case's folder to a temporary place, with its links: copies of the corpus on some media hold a link as a file
 * whose text is the target. What some cases point at comes along.
 * @returns the copy, and how to remove it
 */
export function restoredFolder(one: HostileCase): { readonly path: string; readonly remove: () => void } {
  const root = mkdtempSync(join(tmpdir(), 'hostile-'))
  const path = join(root, one.path)
  cpSync(join(HOSTILE, one.path), path, { recursive: true, verbatimSymlinks: true })
  mkdirSync(join(root, 'json/accept'), { recursive: true })
  for (const beside of ['json/outside-secret.safetensors', 'json/accept/index-plain']) cpSync(join(HOSTILE, beside), join(root, beside), { recursive: true })
  for (const name of readdirSync(path)) {
    if (!name.endsWith('.safetensors')) continue
    const target = linkText(join(path, name))
    if (target === undefined) continue
    rmSync(join(path, name))
    symlinkSync(target, join(path, name))
  }
  return { path, remove: () => rmSync(root, { recursive: true, force: true }) }
}

function linkText(file: string): string | undefined {
  try {
    const text = readFileSync(file, 'latin1')
    return /^[-\w./]{1,200}$/.test(text) ? text : undefined
  } catch {
    return undefined // a link already
  }
}
