/** What a finished run tells a person: what was written, from what, what to worry about, and what to type next. */
import { join } from 'node:path'
import type { ExecuteResult } from '../engine/execute.js'
import { ollamaCreateLine } from '../ollama/create-line.js'
import { PART_SUFFIX } from '../plan/gguf-layout.js'
import { withoutTypeName } from '../plan/name-warnings.js'
import type { Plan } from '../plan/plan.js'
import { tensorLine } from './describe-plan.js'
import { safeText } from './safe-text.js'
import { formatBytes } from './values.js'

/** The text for stdout. */
export function summary(plan: Plan, result: ExecuteResult, { seconds, peakBytes }: { seconds: number; peakBytes: number }, verbose: boolean): string {
  const lines = [
    `wrote ${plan.kind === 'folder' ? plan.root : join(plan.root, plan.target)}: ${countOf(plan.tensors)} tensors, ${formatBytes(result.bytes)}, ${seconds.toFixed(1)} s, peak memory ${formatBytes(peakBytes)}`,
  ]
  lines.push(...plan.decisions.map((decision) => `  ${decision}`))
  const changed = result.tensors.filter(({ deltaRatio }) => deltaRatio !== undefined && deltaRatio > 0)
  const ratios = changed.map(({ deltaRatio }) => deltaRatio ?? 0)
  if (plan.adapters.length > 0)
    lines.push(
      `  changed ${countOf(changed)} of ${countOf(plan.tensors)} tensors${ratios.length === 0 ? '' : `, by ${percent(Math.min(...ratios))} to ${percent(Math.max(...ratios))} of their norm`}`,
    )
  if (verbose) lines.push(...plan.tensors.map((tensor) => `  ${tensorLine(tensor, plan)}`))
  for (const [name, hash] of result.hashes) lines.push(`  sha256 ${hash}  ${name}`)
  const modelfile = plan.sideFiles.find(({ name }) => /(?:^|\.)Modelfile$/.test(name))
  if (modelfile !== undefined)
    lines.push(
      `next: ${ollamaCreateLine(withoutTypeName(stemOf(plan.target)), join(plan.root, modelfile.name), process.platform === 'win32' ? 'win32' : 'posix')}`,
    )
  if (plan.options['outtype'] === 'auto') lines.push('hint: what each smaller type takes, and which card it fits: to-gguf MODEL --sizes')
  return `${lines.map(safeText).join('\n')}\n`
}

/** The GGUF's name without its ending, and without the number of a part. */
function stemOf(fileName: string): string {
  return fileName.replace(/\.gguf$/i, '').replace(PART_SUFFIX, '')
}

/** A LitGPT checkpoint holds each tensor in two files. */
function countOf(tensors: readonly { readonly name: string }[]): number {
  return new Set(tensors.map(({ name }) => name)).size
}

function percent(ratio: number): string {
  if (!Number.isFinite(ratio)) return 'all'
  return `${ratio >= 0.1 ? (ratio * 100).toFixed(0) : (ratio * 100).toPrecision(2)} %`
}
