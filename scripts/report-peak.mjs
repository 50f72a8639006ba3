/** Loaded into a measured process with `--import`: writes its peak resident set in bytes to file descriptor 3 when it exits. */
import { readFileSync, writeSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'

const PEAK_FD = 3

if (isMainThread) process.on('exit', () => writeSync(PEAK_FD, String(peakBytes())))

/** Linux knows the peak of this program alone; getrusage may count what the parent had when it forked. */
function peakBytes() {
  try {
    return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024
  } catch {
    return process.resourceUsage().maxRSS * 1024
  }
}
