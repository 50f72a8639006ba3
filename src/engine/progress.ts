/** What a run tells its caller while it goes on. Plain data; src/cli draws it. */

export interface ProgressEvent {
  /** `copy`: large files that nothing changes. `check`: archive records are held against their checksums. `write`: weights are computed and written. `hash`: whole files are read again for --hash. `finish`: made durable and named. */
  readonly phase: 'copy' | 'check' | 'write' | 'hash' | 'finish'
  readonly doneBytes: number
  readonly totalBytes: number
  /** Output tensor (or input or output file) that was begun last. */
  readonly current: string
}

export type OnProgress = (event: ProgressEvent) => void
