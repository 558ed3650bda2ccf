/** A drawing; apart from how it is drawn, so that the package's types need no other's. */
export interface Figure {
  /** file name without its ending */
  readonly name: string;
  readonly title: string;
  /** a complete SVG document, without any external resource */
  readonly svg: string;
}
