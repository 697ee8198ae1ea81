// A client from nothing but the .proto files: node client.js ADDRESS TOKEN_FILE PROTOS
//
// Submits a sweep and watches it to its end, resumes the watch from a cursor, reads output, cancels
// another job, and is refused once. Prints what it saw as one JSON object.
'use strict';

const fs = require('node:fs');
const crypto = require('node:crypto');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [address, tokenFile, protos] = process.argv.slice(2);
const definition = loader.loadSync(
  ['job_service', 'watch_service', 'cluster_service'].map((name) => `hpcsched/api/v1/${name}.proto`),
  { includeDirs: [protos], keepCase: true, longs: String, enums: String, defaults: true },
);
const api = grpc.loadPackageDefinition(definition).hpcsched.api.v1;
const metadata = new grpc.Metadata();
metadata.set('authorization', `Bearer ${fs.readFileSync(tokenFile, 'utf8').trim()}`);
const open = (Service) => new Service(address, grpc.credentials.createInsecure());
const jobs = open(api.JobService);
const watches = open(api.WatchService);
const cluster = open(api.ClusterService);

function call(client, method, request) {
  const deadline = Date.now() + 30_000;
  return new Promise((resolve, reject) => {
    client[method](request, metadata, { deadline }, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

async function submit(spec) {
  const request = { specs: [spec], request_id: crypto.randomUUID() };
  const first = await call(jobs, 'SubmitJobs', request);
  const again = await call(jobs, 'SubmitJobs', request); // the same request: the same job
  if (again.job_ids[0] !== first.job_ids[0]) throw new Error('a repeated request made another job');
  return first.job_ids[0];
}

// Follows one job to its end; returns its events and the job as it ended.
async function follow(job_id, after = '') {
  const seen = { events: [], caughtUp: 0, job: null };
  for await (const message of watches.WatchJob({ job_id, after }, metadata)) {
    seen.events.push(...message.events);
    seen.caughtUp += message.caught_up ? 1 : 0;
    if (message.job) seen.job = message.job;
  }
  return seen;
}

async function running(job_id) {
  const stream = watches.WatchJob({ job_id }, metadata);
  for await (const message of stream) {
    if (message.task_counts && message.task_counts.running > 0) break;
  }
  stream.cancel();
}

async function output(job_id, task_id, instance_id) {
  const parts = [];
  const request = { job_id, task: { task_id, instance_id }, follow: true };
  for await (const piece of jobs.ReadOutput(request, metadata)) parts.push(piece.data);
  return Buffer.concat(parts).toString();
}

async function main() {
  const told = {};
  told.role = (await call(cluster, 'GetClusterInfo', {})).role;

  const sweep = { type: 'TASK_TYPE_PARAMETRIC_SWEEP', arguments: ['echo', 'frame', '**'], end_value: 5 };
  const job = await submit({ name: 'from node', tasks: [sweep] });
  const whole = await follow(job);
  told.finished = { state: whole.job.state, counts: whole.job.task_counts.finished, caughtUp: whole.caughtUp };
  told.revisions = whole.events.map((event) => Number(event.revision));

  const middle = Math.floor(whole.events.length / 2);
  const rest = await follow(job, whole.events[middle - 1].cursor);
  told.resumed = rest.events.map((event) => Number(event.revision));
  told.output = await output(job, 1, 3);

  const sleeper = await submit({ name: 'to be canceled', tasks: [{ arguments: ['sleep', '600'] }] });
  await running(sleeper);
  await call(jobs, 'CancelJobs', { job_ids: [sleeper], message: 'changed my mind ✓' });
  const canceled = (await follow(sleeper)).job;
  told.canceled = { state: canceled.state, message: canceled.error_message, v1: canceled.v1_status };
  const tasks = (await call(jobs, 'ListTasks', { job_id: sleeper })).tasks;
  told.task = { state: tasks[0].state, exit_code: tasks[0].exit_code, reason: tasks[0].end_reason };

  try {
    await call(jobs, 'CancelJobs', { job_ids: [sleeper] });
  } catch (error) {
    const details = error.metadata.get('grpc-status-details-bin')[0].toString('latin1');
    told.refused = { code: grpc.status[error.code], reason: /INVALID_CANCEL_JOB_STATE/.exec(details)?.[0] };
  }
  console.log(JSON.stringify(told));
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
