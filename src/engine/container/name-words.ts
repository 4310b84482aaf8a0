/** The two halves of a generated name: a state of mind, and somebody who built, measured or proved something. */

export const adjectives = (
  "able airy amber ample apt ardent astute avid awake balmy blithe bonny brainy brave breezy bright brisk bubbly calm " +
  "candid canny careful cheery civil clear clever cosmic cosy crafty crisp curious dapper daring deft eager earnest " +
  "easy elated elegant epic equable fabled fair fearless festive fleet fluent fond frank fresh frosty gallant genial " +
  "gentle gifted glad gleeful golden grand hale handy happy hardy hearty helpful honest hopeful humble ideal jaunty " +
  "jolly jovial joyous keen kind lively loyal lucid lucky lunar mellow merry mighty mild mindful modest musing neat " +
  "nifty nimble noble patient peppy placid plucky polite prime proud quick quiet quirky radiant ready robust rosy " +
  "sage serene sharp shiny silent sincere smart snappy solid spry stable steady stellar sturdy suave subtle sunny " +
  "supple sure swift tender thrifty tidy timely tranquil trusty upbeat valiant vibrant vivid warm wise witty zany zesty"
).split(" ");

export const surnames = (
  "abel aiken airy amdahl anning apgar aryabhata atanasoff avogadro backus baird bartik becquerel bernoulli bjerknes " +
  "bolzano bose boyle brahe braille brattain brunel cannon cantor cauchy cavendish celsius chandra chladni church " +
  "clarke codd coulomb crick dantzig davy dedekind descartes diesel dirac doppler drebbel eckert eddington elion " +
  "erdos escher euclid fisher fizeau fleming foucault fourier franklin fresnel frege gabor galois gauss germain gibbs " +
  "gray haber halley hamming harrison heaviside henry herschel hertz hilbert hooke hubble huygens jacobi jacquard " +
  "joule kelvin kilby klein kovacs lagrange landau laplace lavoisier lebesgue leibniz lenz leonardo linnaeus lister " +
  "lorentz lyell mach marconi markov maxwell mendel mercator milner minsky mobius moseley napier nernst nightingale " +
  "ohm oersted ostrom pascal pauli peano perlis planck plateau poincare poisson priestley ptolemy pythagoras " +
  "ramsey rayleigh riemann rontgen rossi rutherford sabin scheele seaborg shockley siemens snell somerville steno " +
  "stokes strachey sylvester tarski tartaglia tesla thales thompson torricelli tycho vesalius viete volta watt weyl " +
  "wheatstone wheeler whitney wiener wilkes wirth young zermelo zuse"
).split(" ");
