#!/usr/bin/env node
import { loraMerge } from '../dist/bundle/cli/lora-merge.js'
import { main } from '../dist/bundle/cli/main.js'
process.exitCode = await main(loraMerge, process.argv.slice(2))
