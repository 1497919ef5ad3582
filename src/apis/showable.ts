/** Whether a text may stand on a page as it is: no characters that hide, or turn round, what stands beside them. */
export function isShowable(text: string): boolean {
  return text.length > 0 && !/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/u.test(text);
}
