// fal's operations: each takes a call and gives the answer, knowing nothing of sockets.

import { createHash, randomInt } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { appIdOf, missingEndpoint } from '../fal-wire/endpoint-id.ts'
import { errorUrl } from '../fal-wire/error-body.ts'
import { START_TIMEOUT_RULE, asksForLowPriority, falHeaders, startTimeoutMsIn } from '../fal-wire/headers.ts'
import { IN_PROGRESS_TEXT, codeOfState, queueWords, statusObjectOf, wantsLogs, type QueueStatus } from '../fal-wire/status.ts'
import type { Model } from '../models/model.ts'
import type { ModelBook } from '../models/models.ts'
import { detail, errorAnswers, json, modelError, pathNotFound, requestError, type Answer, type Detail } from './answers.ts'
import type { BillBook } from './bill.ts'
import type { Fault } from './fault-schema.ts'
import { placesOfTexts, readInput } from './input.ts'
import { withFilesInside } from './inside.ts'
import { billedAs, failedEnd, withInside, type JobEnd } from './job-end.ts'
import type { Job, JobOrder, Jobs } from './jobs.ts'
import { outputOf, type OutputShape } from './output.ts'
import type { Pictures } from './pictures.ts'
import type { PictureFormat } from './recipe.ts'
import { unitsOf } from './units.ts'

/** What an operation needs to know of a request. */
export interface Call {
  /** The body as it came. */
  readonly text: string
  readonly headers: IncomingHttpHeaders
  readonly query: URLSearchParams
  /** Address of the mounted sandbox as the caller knows it, without a trailing slash. */
  readonly base: string
  /** A fault that concerns the job and not the call. */
  readonly fault: Fault | null
}

export interface Operations {
  submit (call: Call, endpointId: string): Answer
  run (call: Call, endpointId: string): Promise<Answer>
  status (call: Call, job: Job): Answer
  result (job: Job): Promise<Answer>
  cancel (job: Job): Answer
  /** The job of a request id, if it was submitted under this app id or endpoint id. */
  find (id: string, endpointId: string): Job | undefined
  /** The status object of a job, with the log lines from `logsFrom` on, or none when it is `null`. */
  statusObject (call: Call, job: Job, logsFrom: number | null): QueueStatus
}

export interface OperationsOptions {
  /** What is played. */
  readonly models: () => ModelBook
  readonly jobs: Jobs
  readonly bill: BillBook
  readonly concurrency: number
  readonly outputShape: OutputShape
  /** The formats that pictures can be written in. */
  readonly formats: ReadonlySet<PictureFormat>
  /** Makes the files that addresses lead to. */
  readonly files: Pick<Pictures, 'file'>
  /** Is it the address of a file that was to be given to the sandbox of this base, and never came? */
  readonly isMissing: (address: string, base: string) => boolean
  /** Base of picture addresses; by default that of the call. */
  readonly publicUrl?: string | undefined
}

export function createOperations ({ models, jobs, bill, concurrency, outputShape, formats, files, isMissing, publicUrl }: OperationsOptions): Operations {
  function accept (call: Call, model: Model, order: Omit<JobOrder, 'endpointId' | 'end' | 'onAccepted'>): Job | null {
    return jobs.add({
      ...order,
      endpointId: model.endpointId,
      end: endOf(call, model),
      onAccepted: id => { bill.accepted(id, model.endpointId, createHash('sha256').update(call.text).digest('hex')) }
    })
  }

  function endOf (call: Call, model: Model): JobEnd {
    const { fault } = call
    let end = fault?.kind === 'job' && fault.error !== undefined ? failedEnd(errorAnswers[fault.error]) : plainEnd(call, model)
    if (fault?.kind !== 'job') return end
    if (fault.insideBytes !== undefined) end = withInside(end, fault.insideBytes)
    return billedAs(end, fault.units ?? end.units, fault.hideUnits !== true)
  }

  function plainEnd (call: Call, model: Model): JobEnd {
    const read = readInput(model, call.text)
    if (!('input' in read)) return failedEnd(modelError(422, read))
    const base = publicUrl ?? call.base
    const missing = placesOfTexts(read.input, text => isMissing(text, base))
    if (missing.length > 0) return failedEnd(modelError(422, missing.map(place => cannotDownload(place))))
    const seed = read.seed ?? String(randomInt(2 ** 32))
    const text = outputOf(model, read.input, seed, { shape: outputShape, filesUrl: `${base}/files`, formats })
    if (text === null) return failedEnd(cannotPlay(model))
    const units = unitsOf(model, read.sent)
    const end: JobEnd = { units: Number(units), answer: json(200, text, { [falHeaders.billableUnits]: units }) }
    // Of some models it is a word and means something else.
    return read.input['sync_mode'] === true ? { ...end, holdsFiles: true } : end
  }

  /** The answer of a job that ended, with files inside where they belong there. They are made when they are asked for: jobs stay small. */
  async function answerOf ({ answer, holdsFiles }: JobEnd): Promise<Answer> {
    return holdsFiles === true ? await withFilesInside(answer, files) : answer
  }

  function statusObject (call: Call, job: Job, logsFrom: number | null): QueueStatus {
    return statusObjectOf({
      queueBase: `${call.base}/queue`,
      endpointId: job.endpointId,
      requestId: job.id,
      state: job.state,
      position: job.state === 'IN_QUEUE' ? jobs.positionOf(job) : 0,
      logs: logsFrom === null ? null : job.logs.slice(logsFrom),
      inferenceSeconds: job.inferenceSeconds,
      error: job.end?.error
    })
  }

  function unknownEndpoint (endpointId: string): Answer {
    const { missing, text } = missingEndpoint(endpointId, models().all.map(model => model.endpointId))
    return missing === 'path' ? pathNotFound(text) : detail(404, text)
  }

  return {
    submit (call, endpointId) {
      const model = models().find(endpointId)
      if (model === undefined) return unknownEndpoint(endpointId)
      const startTimeoutMs = startTimeoutMsIn(call.headers)
      if (startTimeoutMs === null) return requestError(400, 'bad_request', START_TIMEOUT_RULE)
      const longest = call.query.get('fal_max_queue_length')
      // Of this 429 fal documents neither text nor type.
      if (longest !== null && jobs.waiting > Number(longest)) return detail(429, 'The queue is longer than fal_max_queue_length')
      const lowPriority = asksForLowPriority(call.headers)
      const job = accept(call, model, { direct: false, lowPriority, startTimeoutMs })
      if (job === null) return errorAnswers.runner_scheduling_failure
      // The answer tells of the moment of arrival, even when a sandbox without delays has the job done by now.
      const arrived = { ...job, state: 'IN_QUEUE', end: null } as const
      return withRequestId(json(200, statusObject(call, arrived, null)), job.id)
    },

    async run (call, endpointId) {
      const model = models().find(endpointId)
      if (model === undefined) return unknownEndpoint(endpointId)
      if (startTimeoutMsIn(call.headers) === null) return errorAnswers.bad_request
      if (jobs.inProgress >= concurrency) return errorAnswers.concurrent_requests_limit
      const job = accept(call, model, { direct: true, lowPriority: false })
      if (job === null) return errorAnswers.runner_scheduling_failure
      const end = await jobs.ended(job)
      return withRequestId(await answerOf(end), job.id)
    },

    status (call, job) {
      return withRequestId(json(codeOfState(job.state), statusObject(call, job, wantsLogs(call.query.get('logs')) ? 0 : null)), job.id)
    },

    async result (job) {
      return withRequestId(job.end === null ? detail(400, IN_PROGRESS_TEXT) : await answerOf(job.end), job.id)
    },

    cancel (job) {
      const cancelled = jobs.cancel(job)
      return withRequestId(cancelled ? json(202, { status: queueWords.cancelling }) : json(400, { status: queueWords.completed }), job.id)
    },

    find (id, endpointId) {
      const job = jobs.find(id)
      return job !== undefined && (endpointId === job.endpointId || endpointId === appIdOf(job.endpointId)) ? job : undefined
    },

    statusObject
  }
}

/** The sandbox makes pictures, sounds and videos, and answers of models that make no files. */
function cannotPlay ({ endpointId }: Model): Answer {
  return modelError(422, [{ loc: ['body'], msg: `The sandbox cannot play ${endpointId}: it makes pictures, sounds and videos, and what the answer of this model has to hold is something else`, type: 'sandbox_cannot_play' }])
}

/** fal's type for it; the words are the sandbox's own. */
function cannotDownload (place: readonly (string | number)[]): Detail {
  const type = 'file_download_error'
  return { loc: ['body', ...place], msg: 'The file could not be downloaded: it was not given to this sandbox', type, url: errorUrl(type) }
}

export function withRequestId (answer: Answer, id: string): Answer {
  return { ...answer, headers: { ...answer.headers, [falHeaders.requestId]: id } }
}
