"""Pictures of meshes: discrete visibility, and differentiable torch on top of it. Knows vertices, faces and cameras."""
