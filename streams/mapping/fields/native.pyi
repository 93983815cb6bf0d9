from streams.mapping.fields.reference import Fields as Fields
from streams.mapping.fields.reference import Shape as Shape
