/** A plan for people (--dry-run) and for programs (--json). Says what the run will do, not more. */
import { diskSpace, outputNames } from '../engine/check-outputs.js'
import { expectedPeakBytes } from '../engine/memory.js'
import { outputBytes, type Plan, type PlannedTensor } from '../plan/plan.js'
import { safeText } from './safe-text.js'
import { formatBytes } from './values.js'

/** The plan as JSON-able facts. */
export function planFacts(plan: Plan, threads: number | undefined): object {
  return {
    kind: plan.kind,
    root: plan.root,
    target: plan.target,
    files: plan.files.map(({ name, byteLength }) => ({ name, bytes: byteLength })),
    sideFiles: outputNames(plan).filter((name) => plan.files.every((file) => file.name !== name)),
    adapters: plan.adapters,
    tensors: plan.tensors.map(({ name, type, shape, file, offset, byteLength, from, applied }) => ({
      name,
      type,
      shape,
      file: plan.files[file]?.name,
      offset,
      bytes: byteLength,
      from,
      adapters: applied,
    })),
    decisions: plan.decisions,
    warnings: plan.warnings,
    outputBytes: outputBytes(plan),
    expectedPeakBytes: expectedPeakBytes(plan, threads),
    disk: diskSpace(plan),
  }
}

/** The plan as text. */
export function describePlan(plan: Plan, threads: number | undefined): string {
  const { needed, free } = diskSpace(plan)
  const lines = [
    `plan: ${plan.base}${plan.adapters.map(({ label, weight }) => ` + ${label}${weight === 1 ? '' : `@${weight}`}`).join('')} -> ${plan.target}`,
    '',
  ]
  plan.files.forEach((file, i) => {
    lines.push(`${file.name} (${file.byteLength} bytes)`)
    for (const tensor of plan.tensors) if (tensor.file === i) lines.push(`  ${tensorLine(tensor, plan)}`)
  })
  const beside = outputNames(plan).filter((name) => plan.files.every((file) => file.name !== name))
  if (beside.length > 0) lines.push(`beside it: ${beside.join(', ')}`)
  lines.push('', ...plan.decisions.map((decision) => `- ${decision}`), '')
  lines.push(`output size: ${outputBytes(plan)} bytes (${formatBytes(outputBytes(plan))})`)
  lines.push(`peak memory: about ${formatBytes(expectedPeakBytes(plan, threads))}`)
  lines.push(`disk: ${formatBytes(needed)} needed, ${formatBytes(free)} free`)
  lines.push('dry run: nothing was written')
  return `${lines.map(safeText).join('\n')}\n`
}

/** `blk.0.attn_q.weight  q8_0 [256, 256] 69632 bytes  <- model.layers.0.self_attn.q_proj.weight + lora r8 x2`. */
export function tensorLine({ name, type, shape, byteLength, from, applied }: PlannedTensor, plan: Plan): string {
  const source = from.length === 0 ? 'computed' : from.join(' + ')
  const added = applied.map(
    ({ adapter, variant, rank, scale }) =>
      ` + ${variant}${rank === 0 ? '' : ` r${rank} x${Number(scale.toPrecision(6))}`}${plan.adapters.length > 1 ? ` (${plan.adapters[adapter]?.label})` : ''}`,
  )
  return `${name}  ${type} [${shape.join(', ')}] ${byteLength} bytes  <- ${source}${added.join('')}`
}
