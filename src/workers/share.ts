/** All processes together hash as many passwords at once, and let as many wait, as one would. */
export function shareOfHashing(
  { workers, queueLength }: { workers: number; queueLength: number },
  processes: number,
): { workers: number; queueLength: number } {
  return {
    workers: Math.max(1, Math.floor(workers / processes)),
    queueLength: Math.ceil(queueLength / processes),
  };
}
