/** What every command does with a plan: print it (--dry-run), or execute it and tell what came out. */
import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { FileSystemError } from '../core/errors.js'
import { fileSystemError } from '../core/file-errors.js'
import type { Plan } from '../plan/plan.js'
import { checkOutputs } from '../engine/check-outputs.js'
import { execute } from '../engine/execute.js'
import { threadsWithin } from '../engine/memory.js'
import { toolFacts } from '../host/tool.js'
import type { CommandContext } from './exit.js'
import { describePlan, planFacts } from './describe-plan.js'
import { summary } from './summary.js'
import { MOST_THREADS, type CommonFlags } from './options.js'
import { NO_PROGRESS, progressDisplay } from './progress-display.js'
import { oneLine } from './safe-text.js'
import { parseCount, parseSize } from './values.js'

/** Prints or runs. Warnings go to stderr whatever else is quiet. */
export async function runPlan(plan: Plan, flags: CommonFlags, { signal }: CommandContext): Promise<void> {
  const asked = flags.threads === undefined ? undefined : parseCount('--threads', flags.threads, MOST_THREADS)
  const threads = flags.maxMemory === undefined ? asked : threadsWithin(plan, asked, parseSize('--max-memory', flags.maxMemory))
  for (const warning of plan.warnings) process.stderr.write(`warning: ${oneLine(warning)}\n`)
  if (flags.dryRun === true) return printPlan(plan, flags, threads)
  const display = flags.quiet === true || flags.json === true ? NO_PROGRESS : await progressDisplay()
  const began = performance.now()
  if (flags.json === true) emit({ event: 'plan', ...planFacts(plan, threads) })
  try {
    const result = await execute(plan, toolFacts(), {
      force: flags.force ?? false,
      ...(threads === undefined ? {} : { threads }),
      hash: flags.hash ?? false,
      signal,
      onProgress: flags.json === true ? (event) => emit({ event: 'progress', ...event }) : display.onProgress,
    })
    display.stop()
    for (const warning of result.warnings) process.stderr.write(`warning: ${oneLine(warning)}\n`)
    const facts = { files: result.files, bytes: result.bytes, seconds: (performance.now() - began) / 1000, peakBytes: process.resourceUsage().maxRSS * 1024 }
    if (flags.json === true) emit({ event: 'result', ...facts, hashes: Object.fromEntries(result.hashes), warnings: result.warnings })
    else if (flags.quiet !== true) process.stdout.write(summary(plan, result, facts, flags.verbose ?? false))
  } finally {
    display.stop()
  }
}

function printPlan(plan: Plan, flags: CommonFlags, threads: number | undefined): void {
  checkOutputs(plan, flags.force ?? false)
  checkWritable(plan.root)
  if (flags.json === true) emit({ event: 'plan', dryRun: true, ...planFacts(plan, threads) })
  else process.stdout.write(describePlan(plan, threads))
}

/** The real run finds this out by writing; a dry run has to ask. @throws FileSystemError */
function checkWritable(root: string): void {
  let folder = resolve(root)
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder)
  if (!statSync(folder).isDirectory()) throw new FileSystemError('cannot be written to: a part of the path is a file, not a folder (ENOTDIR).', { file: root })
  try {
    accessSync(folder, constants.W_OK)
  } catch (error) {
    throw fileSystemError(error, root, 'written to')
  }
}

function emit(event: object): void {
  process.stdout.write(`${JSON.stringify(event)}\n`)
}
