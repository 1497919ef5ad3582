/** Where a form posts to, and the hidden fields that travel with it (an interaction's uid, an xsrf value). */
export interface FormTarget {
  action: string;
  hidden?: readonly HiddenField[] | undefined;
}

export interface HiddenField {
  name: string;
  value: string;
}

export interface Link {
  href: string;
  label: string;
}

/** A refusal that only time ends. `retryAfterSeconds` is put into words by the page. */
export interface Throttled {
  kind: 'throttled';
  retryAfterSeconds: number;
}

/** What a page says above its form: a bold first sentence, then what to do. `done` is for good news. */
export interface Message {
  tone: 'danger' | 'notice' | 'done';
  title: string;
  text?: string | undefined;
}
