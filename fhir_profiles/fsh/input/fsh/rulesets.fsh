// Patterns of the profiles. Names like FHIR-043 are rules of the catalogue: an invariant's key begins with the rule it
// enforces, and the mapping `finding` says which rule an element answers for.

Alias: $finding = https://sanyi.example/fhir/CodeSystem/finding
Alias: $ucum = http://unitsofmeasure.org
Alias: $act = http://terminology.hl7.org/CodeSystem/v3-ActCode
Alias: $geolocation = http://hl7.org/fhir/StructureDefinition/geolocation
Alias: $representation = http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation

// One coding of our system with a code of a value set; codings of others may stand beside it.
RuleSet: OneCode(path, slice, system, valueSet)
* {path} 1..1
* {path}.coding ^slicing.discriminator.type = #value
* {path}.coding ^slicing.discriminator.path = "system"
* {path}.coding ^slicing.rules = #open
* {path}.coding contains {slice} 1..1
* {path}.coding[{slice}].system 1..1
* {path}.coding[{slice}].system = "{system}"
* {path}.coding[{slice}].code 1..1
* {path}.coding[{slice}].code from {valueSet} (required)

// The same, with a pattern of codes instead of a value set (given by an invariant).
RuleSet: OneCoding(path, slice, system)
* {path}.coding ^slicing.discriminator.type = #value
* {path}.coding ^slicing.discriminator.path = "system"
* {path}.coding ^slicing.rules = #open
* {path}.coding contains {slice} 1..1
* {path}.coding[{slice}].system 1..1
* {path}.coding[{slice}].system = "{system}"
* {path}.coding[{slice}].code 1..1

// An identifier of a known issuer.
RuleSet: Identified(slice, card, system)
* identifier contains {slice} {card}
* identifier[{slice}].system 1..1
* identifier[{slice}].system = "{system}"
* identifier[{slice}].value 1..1

RuleSet: IdentifierBySystem
* identifier ^slicing.discriminator.type = #value
* identifier ^slicing.discriminator.path = "system"
* identifier ^slicing.rules = #open

// What we do not read must not be sent: nothing hidden inside, nothing that changes the meaning. The checker refuses every
// other element that is not read, too (fhir_profiles/closed.py); here are those that senders are likeliest to fill in.
RuleSet: Plain
* implicitRules 0..0
* contained 0..0
* modifierExtension 0..0
* meta.tag 0..0
* meta.security 0..0

RuleSet: InUse
* active = true

RuleSet: PointsTo(path, target)
* {path} 1..1
* {path} only Reference({target})
* {path}.reference 1..1
