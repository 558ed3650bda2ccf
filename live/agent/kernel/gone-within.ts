/** Whether it comes within so many ms. */
export async function goneWithin(gone: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, ms, false);
  });
  const isGone = await Promise.race([gone.then(() => true), late]);
  clearTimeout(timer);
  return isGone;
}
