from streams.domain.mapping.merge import Fields as Fields
from streams.domain.mapping.merge import Shape as Shape
